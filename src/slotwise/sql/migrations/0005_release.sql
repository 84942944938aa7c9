-- migrate:up

-- Whoever lets a hold go, or chooses another time, must not thereby cancel what they confirmed a moment ago in another
-- window. Whether a booking is still a hold is only certain under the lock of its slot.
DROP FUNCTION cancel_bookings(bigint[], text[], text[]);

-- Cancels the live bookings of a batch and gives their seats back; returns the bookings that exist, as they are
-- afterwards, and what became of each.
-- Cancel, expiry and confirm of one booking pass here one after the other, and only the first finds it live, so its
-- seats come back once.
CREATE FUNCTION cancel_bookings(
    booking_ids bigint[],
    reasons text[],
    actors text[],
    -- Where true, what is confirmed stays: outcome 'confirmed'. Null: nowhere.
    only_holds boolean[] DEFAULT NULL
)
RETURNS TABLE (
    id bigint,
    slot_id bigint,
    user_id bigint,
    user_name text,
    user_email text,
    seats_booked integer,
    status text,
    expires_at timestamptz,
    confirmed_at timestamptz,
    cancelled_at timestamptz,
    created_at timestamptz,
    updated_at timestamptz,
    doctor_id bigint,
    doctor_name text,
    specialization text,
    start_time timestamptz,
    end_time timestamptz,
    outcome text
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    ids bigint[];
    outcomes text[];
BEGIN
    PERFORM 1
    FROM appointment_slots AS s
    WHERE s.id IN (SELECT b.slot_id FROM bookings AS b WHERE b.id = any(booking_ids))
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
            clock.now,
            CASE
                WHEN b.id IS NULL THEN 'not_found'
                WHEN b.status = 'CANCELLED' THEN 'already_cancelled'
                WHEN b.status = 'CONFIRMED' AND w.only_hold THEN 'confirmed'
                WHEN b.status = 'FAILED' OR (b.status = 'PENDING' AND b.expires_at <= clock.now) THEN 'failed'
                WHEN s.start_time <= clock.now THEN 'started'
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

    SELECT array_agg(w.booking_id), array_agg(w.outcome) INTO ids, outcomes
    FROM wanted AS w
    WHERE w.outcome <> 'not_found';

    RETURN QUERY
    SELECT
        b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
        b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time,
        b.end_time, w.outcome
    FROM unnest(ids, outcomes) AS w (id, outcome)
    INNER JOIN bookings_now AS b ON w.id = b.id;
END
$$;

-- migrate:down
-- Forward only: to go back, restore a backup.
