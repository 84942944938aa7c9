-- name: set_session
-- Sets what Slotwise relies on for the rest of the session, and returns the values that hold then.
SELECT w.name, set_config(w.name, w.value, FALSE) AS value
FROM unnest(:names::text[], :values::text[]) AS w (name, value);

-- name: mark_session
-- Leaves a mark in the session, and returns the backend's pid, because a pooler gives the driver a different one.
SELECT set_config('slotwise.mark', :mark::text, FALSE) AS mark, pg_backend_pid() AS pid;

-- name: read_mark
-- Reads the mark that is in the session, and the backend's pid.
SELECT coalesce(current_setting('slotwise.mark', TRUE), '') AS mark, pg_backend_pid() AS pid;
