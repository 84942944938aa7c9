-- Cancels the live bookings of a batch as `cancel_bookings` does, whose outcomes it has, and besides these
-- 'too_late_to_change': a patient cancels after the deadline of the visit type. The desk still can.
CREATE OR REPLACE FUNCTION cancel_bookings_2(
    booking_ids bigint[],
    reasons text[],
    actors text[],
    only_holds boolean[],
    request_ids text[],
    by_desk boolean
) RETURNS TABLE (booking bookings_now, outcome text) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_variable
DECLARE
    late bigint[];
    clock timestamptz;
BEGIN
    -- A clinic without visit types pays nothing. A booking's visit type never changes, so this needs no lock.
    IF by_desk OR NOT EXISTS (SELECT FROM visit_types) OR NOT EXISTS (
        SELECT FROM bookings AS b WHERE b.id = any(booking_ids) AND b.visit_type_id IS NOT NULL
    ) THEN
        RETURN QUERY
        SELECT c.booking, c.outcome
        FROM cancel_bookings(booking_ids, reasons, actors, only_holds, request_ids) AS c;
        RETURN;
    END IF;

    -- A slot could be moved meanwhile.
    PERFORM 1
    FROM appointment_slots AS s
    WHERE s.id = any(ARRAY(SELECT b.slot_id FROM bookings AS b WHERE b.id = any(booking_ids)))
    ORDER BY s.id
    FOR NO KEY UPDATE;
    clock := clock_timestamp();
    -- A hold can be given up at any time.
    late := ARRAY(
        SELECT b.id
        FROM unnest(booking_ids, only_holds) AS w (booking_id, only_hold)
        INNER JOIN bookings AS b ON w.booking_id = b.id
        INNER JOIN appointment_slots AS s ON b.slot_id = s.id
        WHERE
            b.status = 'CONFIRMED'
            AND w.only_hold IS NOT TRUE
            AND past_change_deadline(s.start_time, b.visit_type_id, clock)
    );

    RETURN QUERY
    SELECT c.booking, c.outcome
    FROM (
        SELECT
            array_agg(w.booking_id ORDER BY w.position) AS booking_ids,
            array_agg(w.reason ORDER BY w.position) AS reasons,
            array_agg(w.actor ORDER BY w.position) AS actors,
            array_agg(w.only_hold ORDER BY w.position) AS only_holds
        FROM unnest(booking_ids, reasons, actors, only_holds)
            WITH ORDINALITY AS w (booking_id, reason, actor, only_hold, position)
        WHERE w.booking_id <> all(late)
        HAVING count(*) > 0
    ) AS r
    CROSS JOIN LATERAL cancel_bookings(r.booking_ids, r.reasons, r.actors, r.only_holds, NULL) AS c;

    RETURN QUERY
    SELECT b, 'too_late_to_change'
    FROM unnest(late) AS l (id)
    INNER JOIN bookings_now AS b ON l.id = b.id;
END
$$;
