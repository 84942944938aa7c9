-- name: publish_seats
-- Tells all workers whose seats have changed, and the caller whether its server has stopped to take bookings.
-- NOTIFY stands here and in no transaction of the booking path: whoever commits one holds the one lock that all such
-- commits of a cluster share.
SELECT
    current_setting('transaction_read_only')::boolean AS read_only,
    count(pg_notify(:channel::text, m.message)::text) AS messages
FROM unnest(:messages::text[]) AS m (message);

-- name: read_seats
-- Reads how many seats of some slots are free.
SELECT s.id AS slot_id, s.available_seats, s.total_seats, s.status
FROM slots_now AS s
WHERE s.id = any(:slot_ids::bigint[])
ORDER BY s.id;
