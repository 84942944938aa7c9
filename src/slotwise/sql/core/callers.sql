-- name: read_claims
-- Reads what callers' claims to bookings are checked against.
SELECT b.user_id, b.user_email, b.manage_token_hash, b.id AS booking_id
FROM bookings AS b
WHERE b.id = any(:booking_ids::bigint[]);
