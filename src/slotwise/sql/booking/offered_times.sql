-- name: read_periods
-- Reads when those of some slots take place that there are.
SELECT s.id, s.start_time, s.end_time
FROM appointment_slots AS s
WHERE s.id = any(:slot_ids::bigint[]);
