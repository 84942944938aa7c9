-- name: read_periods
-- Reads when those of some slots take place that there are.
SELECT s.id, s.start_time, s.end_time
FROM appointment_slots AS s
WHERE s.id = any(:slot_ids::bigint[]);

-- name: read_window
-- Reads whose open time a window is.
SELECT v.doctor_id, d.name AS doctor_name, d.specialization, v.clinic_id
FROM windows AS v
INNER JOIN doctors AS d ON v.doctor_id = d.id
WHERE v.id = :window_id::bigint;
