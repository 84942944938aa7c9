-- name: list_cancel_reasons
-- Reads why some bookings were cancelled, of those for which somebody said so.
SELECT b.id AS booking_id, b.cancel_reason
FROM bookings AS b
WHERE b.id = any(:booking_ids::bigint[]) AND b.cancel_reason IS NOT NULL;
