-- name: read_history
-- Reads what was applied to this database, and a number that changes with every change of an object of the schema.
-- Every check of readiness asks for this, so it reads no definitions: each row of the catalogue has the id of the
-- transaction that wrote it.
WITH ours AS (
    SELECT c.oid, c.xmin FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace
),

written AS (
    SELECT o.oid, 0 AS part, o.xmin FROM ours AS o
    UNION ALL
    SELECT a.attrelid, a.attnum, a.xmin FROM pg_attribute AS a WHERE a.attrelid IN (SELECT o.oid FROM ours AS o)
    UNION ALL
    SELECT e.oid, 0, e.xmin FROM pg_attrdef AS e WHERE e.adrelid IN (SELECT o.oid FROM ours AS o)
    UNION ALL
    SELECT i.indexrelid, 1, i.xmin FROM pg_index AS i WHERE i.indexrelid IN (SELECT o.oid FROM ours AS o)
    UNION ALL
    SELECT r.oid, 0, r.xmin FROM pg_rewrite AS r WHERE r.ev_class IN (SELECT o.oid FROM ours AS o)
    UNION ALL
    SELECT t.oid, 0, t.xmin FROM pg_trigger AS t WHERE t.tgrelid IN (SELECT o.oid FROM ours AS o)
    UNION ALL
    SELECT k.oid, 0, k.xmin FROM pg_constraint AS k WHERE k.connamespace = current_schema()::regnamespace
    UNION ALL
    SELECT p.oid, 0, p.xmin FROM pg_proc AS p WHERE p.pronamespace = current_schema()::regnamespace
)

SELECT
    coalesce(array_agg(h.name ORDER BY h.name), '{}') AS names,
    coalesce(array_agg(h.checksum ORDER BY h.name), '{}') AS checksums,
    coalesce(array_agg(h.release ORDER BY h.name), '{}') AS releases,
    (
        SELECT sum(hashtextextended(w.oid::text || ' ' || w.part::text || ' ' || w.xmin::text, 0))::text
        FROM written AS w
    ) AS state
FROM schema_history AS h;

-- name: find_records
-- Tells whether the database has a table of what was applied.
SELECT to_regclass('schema_history') IS NOT NULL AS found;

-- name: find_email_key
-- Tells whether the database has the function that migration 0002 makes.
SELECT to_regprocedure('email_key(text)') IS NOT NULL AS found;

-- name: list_applied
-- Lists the numbers of the migrations that were applied, from dbmate's own table.
SELECT m.version::text AS version
FROM schema_migrations AS m
ORDER BY m.version;

-- name: record_source
-- Records the text of a source that was applied. The release stays the first one that applied this text.
INSERT INTO schema_history AS h (name, checksum, release)
VALUES (:name::text, :checksum::text, :release::text)
ON CONFLICT (name) DO UPDATE
    SET checksum = excluded.checksum, release = excluded.release, updated_at = now()
    WHERE h.checksum <> excluded.checksum;

-- name: forget_sources
-- Removes the records of sources that this release does not have, except the announcements of releases.
DELETE FROM schema_history
WHERE name <> all(:kept::text[]) AND name NOT LIKE :announced::text;

-- name: read_catalogue
-- Reads how the schema's objects are defined, in a text that is the same in PostgreSQL 15 to 18.
-- Blanks, parentheses and qualifiers are removed, because they differ. Long definitions are replaced by their MD5.
-- Objects of extensions are left out.
WITH ours AS (
    SELECT c.oid, c.relname, c.relkind, c.relpersistence
    FROM pg_class AS c
    WHERE
        c.relnamespace = current_schema()::regnamespace
        AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND c.relname <> 'schema_migrations'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
),

defined AS (
    SELECT
        CASE c.relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || c.relname AS object,
        CASE c.relkind
            WHEN 'v' THEN pg_get_viewdef(c.oid)
            ELSE c.relkind::text || CASE c.relpersistence WHEN 'p' THEN '' ELSE ' not durable' END
        END AS definition,
        c.relkind = 'v' AS long
    FROM ours AS c
    UNION ALL
    SELECT
        'column ' || c.relname || '.' || a.attname,
        format_type(a.atttypid, a.atttypmod)
        || coalesce(' COLLATE ' || l.collname, '')
        || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || CASE a.attidentity WHEN '' THEN '' ELSE ' IDENTITY ' || a.attidentity::text END
        || CASE a.attgenerated WHEN '' THEN ' DEFAULT ' ELSE ' GENERATED ' || a.attgenerated::text END
        || coalesce(pg_get_expr(e.adbin, e.adrelid), '')
        || CASE a.attstattarget WHEN 0 THEN ' NOT SAMPLED' ELSE '' END,
        FALSE
    FROM ours AS c
    INNER JOIN pg_attribute AS a ON c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS e ON a.attrelid = e.adrelid AND a.attnum = e.adnum
    LEFT JOIN pg_collation AS l ON a.attcollation = l.oid AND l.collname <> 'default'
    WHERE c.relkind <> 'v'
    UNION ALL
    -- PostgreSQL 18 also has a row for NOT NULL, which is part of the column here.
    SELECT
        'constraint ' || c.relname || '.' || k.conname,
        pg_get_constraintdef(k.oid),
        FALSE
    FROM ours AS c
    INNER JOIN pg_constraint AS k ON c.oid = k.conrelid AND k.contype <> 'n'
    UNION ALL
    SELECT
        CASE WHEN i.indisunique THEN 'unique index ' ELSE 'index ' END || c.relname || '.' || x.relname,
        pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid AND i.indisready THEN '' ELSE ' INVALID' END,
        FALSE
    FROM ours AS c
    INNER JOIN pg_index AS i ON c.oid = i.indrelid
    INNER JOIN pg_class AS x ON i.indexrelid = x.oid
    UNION ALL
    SELECT
        'trigger ' || c.relname || '.' || t.tgname,
        pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN '' ELSE ' ENABLED ' || t.tgenabled::text END,
        FALSE
    FROM ours AS c
    INNER JOIN pg_trigger AS t ON c.oid = t.tgrelid AND NOT t.tgisinternal
    UNION ALL
    SELECT
        'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
        concat_ws(
            ' ', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname, p.provolatile,
            p.proparallel, p.proisstrict, p.prosecdef, array_to_string(p.proconfig, ' '), md5(p.prosrc)
        ),
        TRUE
    FROM pg_proc AS p
    INNER JOIN pg_language AS l ON p.prolang = l.oid
    WHERE
        p.pronamespace = current_schema()::regnamespace
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
)

SELECT
    d.object,
    CASE WHEN d.long THEN md5(n.definition) ELSE n.definition END AS definition
FROM defined AS d
CROSS JOIN LATERAL (SELECT regexp_replace(d.definition, '\m\w+\.|[\s()]', '', 'g') AS definition) AS n
ORDER BY d.object;

-- name: try_turn
-- Takes the migration lock for this transaction, unless another has it.
SELECT pg_try_advisory_xact_lock(hashtextextended('slotwise migrations', 0)) AS taken;

-- name: find_turn_holders
-- Finds the sessions that hold the migration lock.
SELECT
    'another server''s migration (an advisory lock)' AS lock,
    string_agg(
        'backend pid ' || h.pid
        || coalesce(' (' || nullif(h.application_name, '') || ', ' || h.state || ')', ''),
        ', ' ORDER BY h.pid
    ) AS holders
FROM pg_locks AS l
INNER JOIN pg_stat_activity AS h ON l.pid = h.pid
WHERE
    l.locktype = 'advisory'
    AND l.granted
    AND h.datname = current_database()
    AND (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('slotwise migrations', 0)
HAVING count(*) > 0;

-- name: set_patience
-- Sets how long this transaction waits for a lock, and lets it be idle while another program applies migrations.
SELECT
    set_config('lock_timeout', :lock_timeout::text, TRUE),
    set_config('statement_timeout', '0', TRUE),
    set_config('idle_in_transaction_session_timeout', '0', TRUE);

-- name: find_holders
-- Finds the lock that a session, by its name, waits for, and the sessions that hold it.
SELECT
    'a lock of kind ' || w.wait_event AS lock,
    string_agg(
        'backend pid ' || h.pid
        || coalesce(' (' || nullif(h.application_name, '') || ', ' || h.state || ')', ''),
        ', ' ORDER BY h.pid
    ) AS holders
FROM pg_stat_activity AS w
CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b (pid)
INNER JOIN pg_stat_activity AS h ON b.pid = h.pid
WHERE
    w.datname = current_database()
    AND w.wait_event_type = 'Lock'
    AND w.application_name = :session::text
GROUP BY w.wait_event;
