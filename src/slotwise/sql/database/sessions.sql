-- name: set_session
-- Sets what Slotwise relies on for the rest of the session, and tells what holds then.
SELECT w.name, set_config(w.name, w.value, FALSE) AS value
FROM unnest(:names::text[], :values::text[]) AS w (name, value);

-- name: mark_session
-- Leaves a mark in the session, and tells the backend's pid: a pooler would tell the driver another.
SELECT set_config('slotwise.mark', :mark::text, FALSE) AS mark, pg_backend_pid() AS pid;

-- name: read_mark
-- Tells the mark that is in the session, and the backend's pid.
SELECT coalesce(current_setting('slotwise.mark', TRUE), '') AS mark, pg_backend_pid() AS pid;
