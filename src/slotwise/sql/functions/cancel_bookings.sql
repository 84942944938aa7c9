-- Cancels the live bookings of a batch and gives their seats back. Returns the bookings that exist, as they are
-- afterwards, each with its outcome: 'cancelled', 'already_cancelled', 'confirmed', 'failed' or 'started'.
-- Cancel, expiry and confirm of one booking run one after the other, under the lock of its slot. Only the first cancel
-- or expiry finds it live, so its seats come back once. Whether it is still a hold is certain only under that lock.
-- Seats that were added for a booking go away with it.
CREATE OR REPLACE FUNCTION cancel_bookings(
    booking_ids bigint[],
    reasons text[],
    actors text[],
    -- True: a confirmed booking stays, with outcome 'confirmed', and a hold can be cancelled after the slot's start.
    -- A null array means false for all.
    only_holds boolean[],
    -- Of a batch of the desk, which is noted in the audit log. Null for other batches.
    request_ids text[]
) RETURNS TABLE (booking bookings_now, outcome text) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_column
DECLARE
    ids bigint[];
    outcomes text[];
    -- The cancelled bookings for which seats were added; null if there is none.
    overbooked bigint[];
    overbooked_actors text[];
BEGIN
    PERFORM 1
    FROM appointment_slots AS s
    WHERE s.id = any(ARRAY(SELECT b.slot_id FROM bookings AS b WHERE b.id = any(booking_ids)))
    ORDER BY s.id
    FOR NO KEY UPDATE;

    WITH wanted AS MATERIALIZED (
        SELECT
            w.position,
            w.booking_id,
            w.reason,
            w.actor,
            b.slot_id,
            b.seats_booked,
            b.added_seats,
            clock.now,
            CASE
                WHEN b.id IS NULL THEN 'not_found'
                WHEN b.status = 'CANCELLED' THEN 'already_cancelled'
                WHEN b.status = 'CONFIRMED' AND w.only_hold THEN 'confirmed'
                WHEN b.status = 'FAILED' OR (b.status = 'PENDING' AND b.expires_at <= clock.now) THEN 'failed'
                WHEN s.start_time <= clock.now AND w.only_hold IS NOT TRUE THEN 'started'
                ELSE 'cancelled'
            END AS outcome
        FROM unnest(booking_ids, reasons, actors, only_holds)
            WITH ORDINALITY AS w (booking_id, reason, actor, only_hold, position)
        CROSS JOIN (SELECT clock_timestamp() AS now) AS clock
        LEFT JOIN bookings AS b ON w.booking_id = b.id
        LEFT JOIN appointment_slots AS s ON b.slot_id = s.id
    ),

    written AS (
        UPDATE bookings AS b
        SET status = 'CANCELLED', cancelled_at = w.now, cancel_reason = w.reason, updated_at = w.now
        FROM wanted AS w
        WHERE b.id = w.booking_id AND w.outcome = 'cancelled'
    ),

    ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            w.slot_id,
            s.last_event + row_number() OVER in_order,
            'CANCELLED',
            w.booking_id,
            w.seats_booked,
            s.available_seats + sum(w.seats_booked) OVER in_order,
            s.total_seats,
            w.actor,
            w.now
        FROM wanted AS w
        INNER JOIN appointment_slots AS s ON w.slot_id = s.id
        WHERE w.outcome = 'cancelled'
        WINDOW in_order AS (PARTITION BY w.slot_id ORDER BY w.position)
    ),

    freed AS (
        SELECT w.slot_id, sum(w.seats_booked)::integer AS seats, count(*) AS events, max(w.now) AS now
        FROM wanted AS w
        WHERE w.outcome = 'cancelled'
        GROUP BY w.slot_id
    ),

    slots AS (
        UPDATE appointment_slots AS s
        SET available_seats = s.available_seats + f.seats, last_event = s.last_event + f.events, updated_at = f.now
        FROM freed AS f
        WHERE s.id = f.slot_id
    )

    SELECT
        array_agg(w.booking_id),
        array_agg(w.outcome),
        array_agg(w.booking_id) FILTER (WHERE w.added_seats IS NOT NULL AND w.outcome = 'cancelled'),
        array_agg(w.actor) FILTER (WHERE w.added_seats IS NOT NULL AND w.outcome = 'cancelled')
    INTO ids, outcomes, overbooked, overbooked_actors
    FROM wanted AS w
    WHERE w.outcome <> 'not_found';

    IF overbooked IS NOT NULL THEN
        PERFORM take_added_seats(overbooked, overbooked_actors);
    END IF;

    IF request_ids IS NOT NULL THEN
        INSERT INTO audit_log (actor, action, subject, details, request_id)
        SELECT
            w.actor,
            'cancel_booking',
            'booking:' || w.booking_id,
            jsonb_build_object(
                'status',
                jsonb_build_array(CASE WHEN b.confirmed_at IS NULL THEN 'PENDING' ELSE 'CONFIRMED' END, 'CANCELLED')
            -- Only that there is a reason: it may name somebody.
            ) || CASE WHEN w.reason IS NULL THEN '{}' ELSE '{"reason": true}' END::jsonb,
            w.request_id
        FROM unnest(booking_ids, reasons, actors, request_ids)
            WITH ORDINALITY AS w (booking_id, reason, actor, request_id, position)
        INNER JOIN unnest(ids, outcomes) AS o (id, outcome) ON w.booking_id = o.id
        INNER JOIN bookings AS b ON w.booking_id = b.id
        WHERE o.outcome = 'cancelled'
        ORDER BY w.position;
    END IF;

    RETURN QUERY
    SELECT b, w.outcome
    FROM unnest(ids, outcomes) AS w (id, outcome)
    INNER JOIN bookings_now AS b ON w.id = b.id;
END
$$;
