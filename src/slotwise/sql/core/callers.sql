-- name: read_claims
-- Reads what callers' claims to bookings are checked against.
SELECT
    b.user_id,
    b.user_email,
    b.manage_token_hash,
    (SELECT s.clinic_id FROM appointment_slots AS s WHERE s.id = b.slot_id) AS clinic_id,
    b.id AS booking_id
FROM bookings AS b
WHERE b.id = any(:booking_ids::bigint[]);
