-- name: read_clinics
-- Reads all clinics by id.
SELECT c.clinic_columns
FROM clinics AS c
ORDER BY c.id;

-- name: list_limits
-- Lists the clinics of the accounts that work for some only.
SELECT u.user_id, u.clinic_id
FROM user_clinics AS u
ORDER BY u.user_id, u.clinic_id;

-- name: get_place
-- Reads at which clinic a slot is.
SELECT s.clinic_id
FROM appointment_slots AS s
WHERE s.id = :slot_id::bigint;

-- name: get_place_of_window
-- Reads at which clinic a window is.
SELECT v.clinic_id
FROM windows AS v
WHERE v.id = :window_id::bigint;
