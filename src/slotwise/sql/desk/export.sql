-- name: list_cancel_reasons
-- Reads the reasons of cancelled bookings, where a reason was given.
SELECT b.id AS booking_id, b.cancel_reason
FROM bookings AS b
WHERE b.id = any(:booking_ids::bigint[]) AND b.cancel_reason IS NOT NULL;
