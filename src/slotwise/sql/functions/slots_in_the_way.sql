-- The slots of a doctor that touch a visit in an open window, whose period includes its buffer. A slot that was carved
-- out of a window and is `empty` takes no time; the others are in the way of the visit.
-- A slot that began before is found by its start, up to a day and the longest buffer before, as `find_overlapped` does.
-- The planner inlines this function.
CREATE OR REPLACE FUNCTION slots_in_the_way(doctor_id bigint, starts_from timestamptz, busy_until timestamptz)
RETURNS TABLE (
    id bigint,
    start_time timestamptz,
    end_time timestamptz,
    total_seats integer,
    status text,
    window_id bigint,
    empty boolean
)
LANGUAGE sql STABLE AS $$
    SELECT
        s.id,
        s.start_time,
        s.end_time,
        s.total_seats,
        s.status,
        s.window_id,
        s.window_id IS NOT NULL AND s.available_seats = s.total_seats
    FROM appointment_slots AS s
    WHERE
        s.doctor_id = slots_in_the_way.doctor_id
        AND s.start_time > slots_in_the_way.starts_from - interval '28 hours'
        AND s.start_time < slots_in_the_way.busy_until
        AND coalesce(s.busy_until, s.end_time) > slots_in_the_way.starts_from
        AND (s.status = 'OPEN' OR s.window_id IS NOT NULL OR s.available_seats < s.total_seats)
$$;
