-- name: await_turn
-- Waits until no other import runs, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('slotwise import', 0));
