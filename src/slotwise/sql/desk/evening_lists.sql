-- name: claim_evening_lists
-- Claims the writing of lists until the end of the transaction, if no other process has it now.
SELECT pg_try_advisory_xact_lock(7305091, 2) AS claimed;
