-- name: find_answers
-- Tells what was answered to those keys of a batch that were used before.
SELECT w.position, k.body_hash, k.answer, k.manage_nonce
FROM unnest(:callers::text[], :routes::text[], :key_hashes::bytea[])
    WITH ORDINALITY AS w (caller, route, key_hash, position)
INNER JOIN idempotency_keys AS k ON w.caller = k.caller AND w.route = k.route AND w.key_hash = k.key_hash
WHERE k.created_at > clock_timestamp() - make_interval(secs => :keep_seconds::integer);

-- name: remember_answers
-- Keeps the answers of a batch, in the transaction of their effects; returns a row for each that was kept.
-- In key order, so that two batches with two keys in common wait for each other in one direction only. A key past
-- its time that was not pruned yet is taken over. A live one, which another worker wrote since we looked, is not
-- kept: the caller counts the rows, rolls back and looks again.
INSERT INTO idempotency_keys AS k (caller, route, key_hash, body_hash, answer, manage_nonce)
SELECT w.caller, w.route, w.key_hash, w.body_hash, w.answer, w.manage_nonce
FROM unnest(
        :callers::text[], :routes::text[], :key_hashes::bytea[], :body_hashes::bytea[], :answers::text[],
        :manage_nonces::bytea[]
    ) AS w (caller, route, key_hash, body_hash, answer, manage_nonce)
ORDER BY w.caller, w.route, w.key_hash
ON CONFLICT (caller, route, key_hash) DO UPDATE
    SET
        body_hash = excluded.body_hash,
        answer = excluded.answer,
        manage_nonce = excluded.manage_nonce,
        created_at = excluded.created_at,
        updated_at = excluded.updated_at
    WHERE k.created_at <= clock_timestamp() - make_interval(secs => :keep_seconds::integer)
RETURNING 1 AS kept;

-- name: prune_answers
-- Removes some answers past their time.
DELETE FROM idempotency_keys
WHERE ctid = any(array(
        SELECT k.ctid FROM idempotency_keys AS k
        WHERE k.created_at <= now() - make_interval(secs => :keep_seconds::integer)
        ORDER BY k.created_at
        LIMIT :limit::integer
        FOR UPDATE SKIP LOCKED
    ))
RETURNING 1 AS pruned;
