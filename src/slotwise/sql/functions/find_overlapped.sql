-- The first slot that takes the doctor's time in a period, if there is one: an open slot, or else a closed one that
-- still has bookings. A slot with a buffer takes the doctor's time until `busy_until`; `wanted_end` is the end with the
-- buffer too. The slot that is being moved does not count.
-- Closed slots and buffers are not in the index of `slot_overlaps`: an exclusion constraint cannot be changed without
-- building its index under the table's lock. They are found by their start, up to a day and the longest buffer before
-- the period, and stay true because whoever adds, moves or reopens a slot holds the doctor's lock. The planner inlines
-- this function.
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
                -- One that was carved out of a window takes no time if it is empty; `make_room` closes it.
                AND (
                    s.window_id IS NULL
                    OR EXISTS (
                        SELECT FROM slots_now AS n WHERE n.id = s.id AND n.available_seats < n.total_seats
                    )
                )
            ORDER BY s.start_time
            LIMIT 1
        )
        UNION ALL
        (
            SELECT s.id, s.start_time, s.end_time, s.status = 'CLOSED' AS closed
            FROM slots_now AS s
            WHERE
                s.doctor_id = find_overlapped.doctor_id
                AND s.start_time > find_overlapped.wanted_start - interval '28 hours'
                AND s.start_time < find_overlapped.wanted_end
                AND coalesce(s.busy_until, s.end_time) > find_overlapped.wanted_start
                AND (s.status = 'CLOSED' OR s.busy_until IS NOT NULL)
                AND ((s.status <> 'CLOSED' AND s.window_id IS NULL) OR s.available_seats < s.total_seats)
                AND s.id <> find_overlapped.moved_slot_id
            ORDER BY s.start_time
            LIMIT 1
        )
    ) AS t
    ORDER BY t.closed
    LIMIT 1
$$;
