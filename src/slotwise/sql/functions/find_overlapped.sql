-- The first slot that takes the doctor's time in a period, if there is one: an open slot, or else a closed one that
-- still has bookings. The slot that is being moved does not count.
-- Closed slots are not in the index of `slot_overlaps`. They are found by their start, up to a day before the period,
-- because no slot is longer. The planner inlines this function.
CREATE OR REPLACE FUNCTION find_overlapped(
    doctor_id bigint, wanted_start timestamptz, wanted_end timestamptz, moved_slot_id bigint
)
RETURNS TABLE (id bigint, start_time timestamptz, end_time timestamptz, closed boolean)
LANGUAGE sql STABLE AS $$
    SELECT t.id, t.start_time, t.end_time, t.closed
    FROM (
        (
            SELECT s.id, s.start_time, s.end_time, FALSE AS closed
            FROM appointment_slots AS s
            WHERE
                s.doctor_id = find_overlapped.doctor_id
                AND s.status = 'OPEN'
                AND tstzrange(s.start_time, s.end_time)
                && tstzrange(find_overlapped.wanted_start, find_overlapped.wanted_end)
                AND s.id <> find_overlapped.moved_slot_id
            ORDER BY s.start_time
            LIMIT 1
        )
        UNION ALL
        (
            SELECT s.id, s.start_time, s.end_time, TRUE AS closed
            FROM slots_now AS s
            WHERE
                s.doctor_id = find_overlapped.doctor_id
                AND s.start_time > find_overlapped.wanted_start - interval '1 day'
                AND s.start_time < find_overlapped.wanted_end
                AND s.end_time > find_overlapped.wanted_start
                AND s.status = 'CLOSED'
                AND s.available_seats < s.total_seats
                AND s.id <> find_overlapped.moved_slot_id
            ORDER BY s.start_time
            LIMIT 1
        )
    ) AS t
    ORDER BY t.closed
    LIMIT 1
$$;
