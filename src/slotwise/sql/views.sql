-- Applied after migrations whenever this text changed. Only append columns: docs/adr/0011-sql-sources.md.

-- A slot as readers see it: the seats of overdue holds count as free, even before a sweep.
CREATE OR REPLACE VIEW slots_now AS
SELECT
    s.id,
    s.doctor_id,
    d.name AS doctor_name,
    d.specialization,
    s.start_time,
    s.end_time,
    s.total_seats,
    s.available_seats + coalesce(overdue.seats, 0)::integer AS available_seats,
    s.status,
    s.created_at,
    s.updated_at,
    d.active AS doctor_active,
    s.clinic_id,
    s.visit_type_ids,
    s.busy_until,
    s.window_id
FROM appointment_slots AS s
INNER JOIN doctors AS d ON s.doctor_id = d.id
LEFT JOIN LATERAL (
    -- Sorted like the index `holds_of_slot`, so that the planner uses it. If one slot has nearly all holds, another
    -- index would read all of them for each slot.
    SELECT sum(b.seats_booked) AS seats
    FROM (
        SELECT b.seats_booked
        FROM bookings AS b
        WHERE b.slot_id = s.id AND b.status = 'PENDING' AND b.expires_at <= now()
        ORDER BY b.expires_at
        LIMIT 2147483647
    ) AS b
) AS overdue ON TRUE;

-- Only for the release before: now `open_slots_for`.
CREATE OR REPLACE VIEW open_slots AS
SELECT
    s.id,
    s.doctor_id,
    d.specialization,
    s.start_time,
    s.total_seats,
    s.available_seats,
    s.has_free_seat,
    s.clinic_id,
    s.visit_type_ids
FROM appointment_slots AS s
INNER JOIN doctors AS d ON s.doctor_id = d.id
WHERE
    s.status = 'OPEN'
    AND d.active
    AND (
        s.visit_type_ids IS NULL
        OR EXISTS (
            SELECT 1 FROM check_visit_types(s.visit_type_ids, s.start_time, now()) AS t WHERE t.refusal IS NULL
        )
    );

-- Only for the release before: now `overdue_slots_for`.
CREATE OR REPLACE VIEW overdue_slots AS
SELECT
    s.id,
    s.doctor_id,
    (SELECT d.specialization FROM doctors AS d WHERE d.id = s.doctor_id) AS specialization,
    s.start_time,
    s.available_seats,
    overdue.seats AS overdue_seats,
    s.clinic_id,
    s.visit_type_ids
FROM (
    SELECT b.slot_id, sum(b.seats_booked) AS seats
    FROM (
        SELECT b.slot_id, b.seats_booked
        FROM bookings AS b
        WHERE coalesce(b.status, '') = 'PENDING' AND b.expires_at <= now()
        ORDER BY b.expires_at
        LIMIT 2147483647
    ) AS b
    GROUP BY b.slot_id
) AS overdue
CROSS JOIN
    LATERAL (
        SELECT s.id, s.doctor_id, s.start_time, s.available_seats, s.clinic_id, s.visit_type_ids
        FROM appointment_slots AS s
        WHERE s.id = overdue.slot_id AND s.status = 'OPEN' AND s.start_time > now()
        ORDER BY s.id
        LIMIT 1
    ) AS s
WHERE
    (s.doctor_id IN (SELECT d.id FROM doctors AS d WHERE d.active)) IS TRUE
    AND (
        s.visit_type_ids IS NULL
        OR EXISTS (
            SELECT 1 FROM check_visit_types(s.visit_type_ids, s.start_time, now()) AS t WHERE t.refusal IS NULL
        )
    );

-- A booking as readers see it: an overdue hold is FAILED, even before a sweep.
CREATE OR REPLACE VIEW bookings_now AS
SELECT
    b.id,
    b.slot_id,
    b.user_id,
    b.user_name,
    b.user_email,
    b.seats_booked,
    CASE WHEN b.status = 'PENDING' AND b.expires_at <= now() THEN 'FAILED' ELSE b.status END AS status,
    b.expires_at,
    b.confirmed_at,
    b.cancelled_at,
    b.created_at,
    b.updated_at,
    s.doctor_id,
    d.name AS doctor_name,
    d.specialization,
    s.start_time,
    s.end_time,
    s.clinic_id,
    b.added_seats,
    b.visit_type_id
FROM bookings AS b
INNER JOIN appointment_slots AS s ON b.slot_id = s.id
INNER JOIN doctors AS d ON s.doctor_id = d.id;
