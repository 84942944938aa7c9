-- Published slots that take bookings: open, of an active doctor, and without visit types or with one that can be booked
-- now, by patients or by the desk. With a visit type, only the slots in which it can be booked. `hold_seats_3` also
-- asks for enough free seats and a start in the future; the statements that use this add those two conditions. The
-- planner inlines this function.
CREATE OR REPLACE FUNCTION open_slots_for(visit_type_id bigint, by_desk boolean)
RETURNS TABLE (
    id bigint,
    doctor_id bigint,
    specialization text,
    start_time timestamptz,
    total_seats integer,
    available_seats integer,
    has_free_seat boolean,
    clinic_id bigint,
    visit_type_ids bigint[]
)
LANGUAGE sql STABLE AS $$
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
        -- Nearly always true, and the planner takes it for that: for IS NULL it would not, until it has statistics.
        AND (s.window_id IS NOT NULL)::integer <> 1
        AND d.active
        -- Leaves out the slots without the type before the rule is asked about any.
        AND (open_slots_for.visit_type_id IS NULL OR open_slots_for.visit_type_id = any(s.visit_type_ids))
        AND (
            s.visit_type_ids IS NULL
            OR EXISTS (
                SELECT 1
                FROM offered_types(
                    s.visit_type_ids, s.start_time, open_slots_for.visit_type_id, open_slots_for.by_desk
                )
            )
        )
$$;
