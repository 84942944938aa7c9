-- name: prune_answers
-- Removes some answers that are older than they are kept.
DELETE FROM idempotency_keys
WHERE ctid = any(array(
        SELECT k.ctid FROM idempotency_keys AS k
        WHERE k.created_at <= now() - make_interval(secs => :keep_seconds::integer)
        ORDER BY k.created_at
        LIMIT :limit::integer
        FOR UPDATE SKIP LOCKED
    ))
RETURNING 1 AS pruned;
