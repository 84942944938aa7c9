-- name: read_claim
-- Tells by what a caller can prove that a booking is theirs.
SELECT b.user_id, b.user_email, b.manage_token_hash
FROM bookings AS b
WHERE b.id = :booking_id::bigint;
