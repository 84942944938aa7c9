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
