-- Confirms the live holds of a batch. Returns the bookings that exist, as they are afterwards, each with its outcome:
-- 'confirmed', 'already_confirmed', 'cancelled', 'expired', 'name_missing' or 'email_missing'.
CREATE OR REPLACE FUNCTION confirm_bookings(
    booking_ids bigint[],
    user_names text[],
    user_emails text[],
    actors text[],
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
            w.actor,
            b.slot_id,
            b.seats_booked,
            coalesce(b.user_name, w.user_name) AS user_name,
            coalesce(b.user_email, w.user_email) AS user_email,
            clock.now,
            CASE
                WHEN b.id IS NULL THEN 'not_found'
                WHEN b.status = 'CONFIRMED' THEN 'already_confirmed'
                WHEN b.status = 'CANCELLED' THEN 'cancelled'
                WHEN b.status = 'FAILED' OR b.expires_at <= clock.now THEN 'expired'
                WHEN coalesce(b.user_name, w.user_name) IS NULL THEN 'name_missing'
                WHEN coalesce(b.user_email, w.user_email) IS NULL THEN 'email_missing'
                ELSE 'confirmed'
            END AS outcome
        FROM unnest(
                booking_ids, user_names, user_emails, actors
            ) WITH ORDINALITY AS w (booking_id, user_name, user_email, actor, position)
        CROSS JOIN (SELECT clock_timestamp() AS now) AS clock
        LEFT JOIN bookings AS b ON w.booking_id = b.id
    ),

    written AS (
        UPDATE bookings AS b
        SET
            status = 'CONFIRMED',
            confirmed_at = w.now,
            user_name = w.user_name,
            user_email = w.user_email,
            updated_at = w.now
        FROM wanted AS w
        WHERE b.id = w.booking_id AND w.outcome = 'confirmed'
    ),

    ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            w.slot_id,
            s.last_event + row_number() OVER in_order,
            'CONFIRMED',
            w.booking_id,
            w.seats_booked,
            s.available_seats,
            s.total_seats,
            w.actor,
            w.now
        FROM wanted AS w
        INNER JOIN appointment_slots AS s ON w.slot_id = s.id
        WHERE w.outcome = 'confirmed'
        WINDOW in_order AS (PARTITION BY w.slot_id ORDER BY w.position)
    ),

    slots AS (
        UPDATE appointment_slots AS s
        SET last_event = s.last_event + c.events
        FROM (SELECT w.slot_id, count(*) AS events FROM wanted AS w WHERE w.outcome = 'confirmed' GROUP BY w.slot_id) AS c
        WHERE s.id = c.slot_id
    )

    SELECT array_agg(w.booking_id), array_agg(w.outcome) INTO ids, outcomes
    FROM wanted AS w
    WHERE w.outcome <> 'not_found';

    IF request_ids IS NOT NULL THEN
        INSERT INTO audit_log (actor, action, subject, details, request_id)
        SELECT
            w.actor,
            'confirm_booking',
            'booking:' || w.booking_id,
            jsonb_build_object('status', jsonb_build_array('PENDING', 'CONFIRMED')),
            w.request_id
        FROM unnest(booking_ids, actors, request_ids) WITH ORDINALITY AS w (booking_id, actor, request_id, position)
        INNER JOIN unnest(ids, outcomes) AS o (id, outcome) ON w.booking_id = o.id
        WHERE o.outcome = 'confirmed'
        ORDER BY w.position;
    END IF;

    RETURN QUERY
    SELECT b, w.outcome
    FROM unnest(ids, outcomes) AS w (id, outcome)
    INNER JOIN bookings_now AS b ON w.id = b.id;
END
$$;
