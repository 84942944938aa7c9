-- The slots of a colleague that take the time of some slots of another doctor, with the buffers of both: open ones, and
-- closed ones that still have bookings. `taken` if one has live bookings; the seats of overdue holds count as free.
-- A slot that began before is found by its start, up to a day and the longest buffer before, as `find_overlapped` does.
CREATE OR REPLACE FUNCTION find_in_the_way(slot_ids bigint[], colleague_id bigint)
RETURNS TABLE (slot_id bigint, other_id bigint, other_clinic_id bigint, taken boolean)
LANGUAGE sql STABLE AS $$
    SELECT s.id, o.id, o.clinic_id, o.available_seats < o.total_seats
    FROM unnest(find_in_the_way.slot_ids) AS w (slot_id)
    CROSS JOIN LATERAL (
        SELECT s.id, s.start_time, coalesce(s.busy_until, s.end_time) AS busy_until
        FROM appointment_slots AS s
        WHERE s.id = w.slot_id
        ORDER BY s.id
        LIMIT 1
    ) AS s
    CROSS JOIN LATERAL (
        SELECT o.id, o.clinic_id, o.available_seats, o.total_seats
        FROM slots_now AS o
        WHERE
            o.doctor_id = find_in_the_way.colleague_id
            AND o.start_time > s.start_time - interval '28 hours'
            AND o.start_time < s.busy_until
            AND coalesce(o.busy_until, o.end_time) > s.start_time
            AND (o.status = 'OPEN' OR o.available_seats < o.total_seats)
        ORDER BY o.start_time, o.id
        LIMIT 2147483647
    ) AS o
$$;
