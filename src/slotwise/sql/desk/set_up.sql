-- name: get_set_up
-- Tells which parts of a clinic are there: the lowest id of an active doctor, whether there are free times and visit
-- types, and how many accounts are at the desk.
SELECT
    (SELECT min(d.id) FROM doctors AS d WHERE d.active) AS first_doctor_id,
    exists(
        SELECT FROM appointment_slots AS s
        WHERE s.status = 'OPEN' AND s.has_free_seat AND s.start_time > now()
    ) AS has_times,
    exists(SELECT FROM visit_types AS v WHERE v.active) AS has_visit_types,
    (SELECT count(*) FROM users AS u WHERE u.role IN ('admin', 'staff') AND u.active) AS accounts;
