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
    -- Where true, what is confirmed stays: outcome 'confirmed'; and a hold can be let go after the start too. Null:
    -- nowhere.
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

-- Holds seats in place of a hold of the same slot: both under one lock and in one transaction, so that nobody can take
-- the seats in between, and who is refused keeps what they had. Returns the row of `hold_seats`; none where the old
-- hold was confirmed meanwhile, and so stays. An old hold that is gone already does not matter.
-- A refusal is not kept for the idempotency key: it goes with all that was tried.
CREATE FUNCTION replace_hold(
    booking_id bigint,
    slot_id bigint,
    seats integer,
    user_id bigint,
    manage_token_hash bytea,
    actor text,
    caller text,
    route text,
    key_hash bytea,
    body_hash bytea,
    manage_nonce bytea,
    hold_seconds integer,
    keep_seconds integer
) RETURNS TABLE (
    place integer,
    outcome text,
    available_seats integer,
    new_booking_id bigint,
    booked_at timestamptz,
    expires_at timestamptz,
    doctor_id bigint,
    doctor_name text,
    specialization text,
    start_time timestamptz,
    end_time timestamptz,
    expired_holds integer,
    answer jsonb,
    new_manage_nonce bytea
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    with_key constant boolean := key_hash IS NOT NULL;
    made record;
BEGIN
    BEGIN
        IF EXISTS (
            SELECT FROM cancel_bookings(ARRAY[booking_id], ARRAY[NULL::text], ARRAY[actor], ARRAY[TRUE]) AS c
            WHERE c.outcome = 'confirmed'
        ) THEN
            RETURN;
        END IF;

        SELECT h.* INTO made
        FROM hold_seats(
                slot_ids => ARRAY[slot_id],
                seats => ARRAY[seats],
                user_ids => ARRAY[user_id],
                user_names => ARRAY[NULL::text],
                user_emails => ARRAY[NULL::text],
                confirmed => ARRAY[FALSE],
                manage_token_hashes => ARRAY[manage_token_hash],
                actors => ARRAY[actor],
                callers => CASE WHEN with_key THEN ARRAY[caller] ELSE ARRAY[]::text[] END,
                routes => CASE WHEN with_key THEN ARRAY[route] ELSE ARRAY[]::text[] END,
                key_hashes => CASE WHEN with_key THEN ARRAY[key_hash] ELSE ARRAY[]::bytea[] END,
                body_hashes => CASE WHEN with_key THEN ARRAY[body_hash] ELSE ARRAY[]::bytea[] END,
                manage_nonces => CASE WHEN with_key THEN ARRAY[manage_nonce] ELSE ARRAY[]::bytea[] END,
                hold_seconds => hold_seconds,
                keep_seconds => keep_seconds
            ) AS h;

        IF made.outcome NOT IN ('held', 'replayed') THEN
            RAISE EXCEPTION USING ERRCODE = 'SW001', MESSAGE = 'the hold stays as it was';
        END IF;
    EXCEPTION
        -- Takes back what this block has done; what was found out stays.
        WHEN SQLSTATE 'SW001' THEN NULL;
    END;

    RETURN QUERY
    SELECT
        made.place, made.outcome, made.available_seats, made.booking_id, made.booked_at, made.expires_at,
        made.doctor_id, made.doctor_name, made.specialization, made.start_time, made.end_time, made.expired_holds,
        made.answer, made.manage_nonce;
END
$$;

-- migrate:down
-- Forward only: to go back, restore a backup.
