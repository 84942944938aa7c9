-- name: list_known_slots
-- Lists a doctor's slots that start at some times, open or closed.
SELECT s.doctor_id, s.start_time, s.end_time
FROM appointment_slots AS s
WHERE s.doctor_id = :doctor_id::bigint AND s.start_time = any(:start_times::timestamptz[]);
