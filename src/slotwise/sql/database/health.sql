-- name: read_server_facts
-- Reads the facts on which the safety of acknowledged bookings on this server depends.
SELECT
    current_setting('server_version_num')::integer AS version,
    current_setting('server_version') AS version_name,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    pg_is_in_recovery() AS read_only,
    exists(SELECT 1 FROM pg_available_extensions WHERE name = 'btree_gist') AS has_btree_gist;

-- name: list_invalid_indexes
-- Lists the indexes of the schema that no query uses, because their making was interrupted.
SELECT i.indexrelid::regclass::text AS name
FROM pg_index AS i
INNER JOIN pg_class AS c ON i.indexrelid = c.oid
WHERE
    c.relnamespace = current_schema()::regnamespace
    AND NOT i.indisvalid
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid)
ORDER BY 1;
