-- name: publish_seats
-- Notifies all workers of changed seats, and tells the caller whether its database server has become read-only.
-- NOTIFY is here and not in the transactions of the booking path, because all commits with a NOTIFY share one lock of
-- the whole cluster.
SELECT
    current_setting('transaction_read_only')::boolean AS read_only,
    count(pg_notify(:channel::text, m.message)::text) AS messages
FROM unnest(:messages::text[]) AS m (message);

-- name: read_seats
-- Reads how many seats of some slots are free.
SELECT s.id AS slot_id, s.available_seats, s.total_seats, s.status, s.window_id
FROM slots_now AS s
WHERE s.id = any(:slot_ids::bigint[])
ORDER BY s.id;
