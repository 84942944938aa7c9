-- Slots as in `open_slots_for` that have not started and have overdue holds. `available_seats` does not count the seats
-- of these yet.
-- The planner expects nearly every hold to be overdue, because nearly every booking's deadline is past. So the holds
-- are read in the order of `holds_by_deadline`, which leaves out the live ones, and the slots are looked up one by one,
-- which leaves out all others. The two limits only keep the planner from other plans. Active doctors are read once,
-- into a hash: in a join, the planner expects so few rows that it would read all doctors again for every slot.
CREATE OR REPLACE FUNCTION overdue_slots_for(visit_type_id bigint, by_desk boolean)
RETURNS TABLE (
    id bigint,
    doctor_id bigint,
    specialization text,
    start_time timestamptz,
    available_seats integer,
    overdue_seats bigint,
    clinic_id bigint
)
LANGUAGE sql STABLE AS $$
    SELECT
        s.id,
        s.doctor_id,
        (SELECT d.specialization FROM doctors AS d WHERE d.id = s.doctor_id) AS specialization,
        s.start_time,
        s.available_seats,
        overdue.seats AS overdue_seats,
        s.clinic_id
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
            WHERE s.id = overdue.slot_id AND s.status = 'OPEN' AND s.window_id IS NULL AND s.start_time > now()
            ORDER BY s.id
            LIMIT 1
        ) AS s
    WHERE
        (s.doctor_id IN (SELECT d.id FROM doctors AS d WHERE d.active)) IS TRUE
        AND (
            (s.visit_type_ids IS NULL AND overdue_slots_for.visit_type_id IS NULL)
            OR EXISTS (
                SELECT 1
                FROM offered_types(
                    s.visit_type_ids, s.start_time, overdue_slots_for.visit_type_id, overdue_slots_for.by_desk
                )
            )
        )
$$;
