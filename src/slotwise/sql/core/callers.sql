-- name: read_claim
-- Reads what a caller's claim to a booking is checked against.
SELECT b.user_id, b.user_email, b.manage_token_hash
FROM bookings AS b
WHERE b.id = :booking_id::bigint;
