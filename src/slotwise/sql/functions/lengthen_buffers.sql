-- Gives the slots ahead that have one of these visit types the time that the larger buffer of the type takes.
-- The caller holds the locks of the types and has written their buffers. All doctors are locked, because a slot that
-- somebody adds meanwhile with such a type would keep the buffer of before:
--   this call: reads the slots of the type      admin: adds one, with the buffer as it was
-- A slot that is drifted keeps its buffer: it is booked, nobody else can book it, and a person is going to look at it.
CREATE OR REPLACE FUNCTION lengthen_buffers(type_ids bigint[])
-- The first slot that would be overlapped, if there is one: then the caller takes everything back.
RETURNS TABLE (overlapped_start timestamptz, overlapped_end timestamptz, overlapped_closed boolean) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    wanted bigint[];
    grown bigint[];
BEGIN
    PERFORM 1 FROM doctors AS d ORDER BY d.id FOR NO KEY UPDATE;
    wanted := slots_with_types(type_ids);
    PERFORM 1 FROM appointment_slots AS s WHERE s.id = any(wanted) ORDER BY s.id FOR NO KEY UPDATE;

    WITH larger AS MATERIALIZED (
        SELECT s.id, busy_until_of_slot(s.id, s.end_time, s.visit_type_ids) AS busy_until
        FROM appointment_slots AS s
        WHERE s.id = any(wanted) AND NOT s.drifted
    ),

    written AS (
        UPDATE appointment_slots AS s
        SET busy_until = l.busy_until, updated_at = clock_timestamp()
        FROM larger AS l
        WHERE s.id = l.id AND l.busy_until > coalesce(s.busy_until, s.end_time)
        RETURNING s.id
    )

    SELECT coalesce(array_agg(w.id), '{}') INTO grown
    FROM written AS w;

    RETURN QUERY
    SELECT o.start_time, o.end_time, o.closed
    FROM appointment_slots AS s
    CROSS JOIN LATERAL find_overlapped(s.doctor_id, s.end_time, s.busy_until, s.id) AS o
    WHERE s.id = any(grown) AND (s.status = 'OPEN' OR s.available_seats < s.total_seats)
    ORDER BY s.start_time, s.id
    LIMIT 1;
END
$$;
