-- Gives the planner new statistics of tables that it believes to be small, but that have grown to more than twice that.
-- Connections then plan again. A plan from when a table had one page reads the whole table for each row that it looks
-- up, and autovacuum looks at a database once a minute:
--   a clinic: has ten slots      an import: adds ten thousand      every read: goes through all of them, for a minute
-- Of larger tables, plans stay good. One call works at a time; one more returns at once.
CREATE OR REPLACE FUNCTION analyze_grown_tables() RETURNS integer LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
DECLARE
    small constant integer := 10000;
    grown regclass;
    analyzed integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('analyze_grown_tables', 0)) THEN
        RETURN 0;
    END IF;
    FOR grown IN
        SELECT c.oid
        FROM pg_stat_user_tables AS t
        INNER JOIN pg_class AS c ON t.relid = c.oid
        WHERE
            t.schemaname = current_schema()
            AND c.reltuples < small
            -- Below 100 rows, no plan reads much.
            AND t.n_live_tup > greatest(100, 2 * c.reltuples)
            -- For the tables of others, the command would only warn.
            AND pg_has_role(c.relowner, 'USAGE')
        ORDER BY c.oid
    LOOP
        EXECUTE format('ANALYZE (SKIP_LOCKED) %s', grown);
        analyzed := analyzed + 1;
    END LOOP;
    RETURN analyzed;
END
$$;
