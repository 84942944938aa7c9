-- name: claim_evening_lists
-- Claims the finishing of lists for this session, if no other process has it now. A server of the release before claims
-- the same lock for a transaction; the two keep each other out.
SELECT pg_try_advisory_lock(7305091, 2) AS claimed;

-- name: release_evening_lists
-- Releases what the session claimed.
SELECT pg_advisory_unlock(7305091, 2) AS released;
