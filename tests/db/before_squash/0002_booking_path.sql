-- migrate:up

-- The booking path: what must happen under the lock of a slot happens here, in one call, so that a lock is held as long
-- as the database works and never while a message travels or a worker process is busy, stopped or dead.
-- See docs/adr/0006-booking-functions.md.
--
-- Each of these but expire_holds, whose callers have, locks first and reads in the next statement. A statement that
-- waited for a lock still reads every other table, and now(), as they were before the wait; the statements after it,
-- and clock_timestamp(), do not.
-- All take the locks of slots in id order: two batches that want slots {1, 2} and {2, 1} would each hold one and wait
-- for the other; in id order the second waits before it holds anything.
-- NO KEY UPDATE: the foreign-key checks of other bookings need not wait for us.
-- A batch's plan does not depend on its values, and planning it anew costs more than running it. No batch has a reason
-- to read a whole table, however small the planner believes it to be.

-- Fails the overdue holds of slots whose locks are held, and gives their seats back.
CREATE FUNCTION expire_holds(slot_ids bigint[], actor text)
RETURNS TABLE (slot_id bigint, holds integer) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH overdue AS (
        UPDATE bookings AS b
        SET status = 'FAILED', updated_at = clock_timestamp()
        WHERE
            b.slot_id = any(slot_ids)
            AND b.status = 'PENDING'
            -- A scalar subquery: an index cannot be searched by a volatile function.
            AND b.expires_at <= (SELECT clock_timestamp())
        RETURNING b.id, b.slot_id, b.seats_booked
    ),

    ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            o.slot_id,
            s.last_event + row_number() OVER in_order,
            'EXPIRED',
            o.id,
            o.seats_booked,
            s.available_seats + sum(o.seats_booked) OVER in_order,
            s.total_seats,
            expire_holds.actor,
            clock_timestamp()
        FROM overdue AS o
        INNER JOIN appointment_slots AS s ON o.slot_id = s.id
        WINDOW in_order AS (PARTITION BY o.slot_id ORDER BY o.id)
    ),

    freed AS (
        SELECT o.slot_id, sum(o.seats_booked)::integer AS seats, count(*)::integer AS holds
        FROM overdue AS o
        GROUP BY o.slot_id
    )

    UPDATE appointment_slots AS s
    SET
        available_seats = s.available_seats + f.seats,
        last_event = s.last_event + f.holds,
        updated_at = clock_timestamp()
    FROM freed AS f
    WHERE s.id = f.slot_id
    RETURNING s.id, f.holds;
END
$$;

-- Holds seats for a batch of requests, in order of arrival; returns a row for each, in any order.
-- A request too large for what is left is refused alone: a smaller one behind it may still fit, so that no refusal is
-- untrue. A request with an idempotency key that was used before gets the answer of then, with outcome 'replayed'.
-- Raises unique_violation on idempotency_keys_pkey, with nothing done, when another transaction used one of the keys
-- since we looked: call again.
CREATE FUNCTION hold_seats(
    slot_ids bigint[],
    seats integer[],
    user_ids bigint[],
    user_names text[],
    user_emails text[],
    confirmed boolean[],
    manage_token_hashes bytea[],
    actors text[],
    -- Null where a request has no idempotency key; the five arrays are empty where none has.
    callers text[],
    routes text[],
    key_hashes bytea[],
    body_hashes bytea[],
    manage_nonces bytea[],
    hold_seconds integer,
    keep_seconds integer
) RETURNS TABLE (
    -- Of the request in the batch, from 1.
    place integer,
    outcome text,
    -- Free seats after this request: for a refusal, how many there were.
    available_seats integer,
    booking_id bigint,
    booked_at timestamptz,
    expires_at timestamptz,
    doctor_id bigint,
    doctor_name text,
    specialization text,
    start_time timestamptz,
    end_time timestamptz,
    -- Overdue holds that gave way, counted with the first request of their slot.
    expired_holds integer,
    -- For a replayed request: the row of then, and the nonce of its manage token.
    answer jsonb,
    manage_nonce bytea
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    nothing constant bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(slot_ids)]);
    -- Slots are never deleted, so these are the ones that get locked. One that is created meanwhile is not among them,
    -- and must not be acted on.
    known constant bigint[] := ARRAY(SELECT s.id FROM appointment_slots AS s WHERE s.id = any(slot_ids));
    clock timestamptz;
    slot bigint;
    free integer;
    event bigint;
    wanted record;
    -- By the place of a request, as the parameters are; null where it holds nothing.
    ids bigint[] := nothing;
    events bigint[] := nothing;
    available integer[] := nothing;
    totals integer[] := nothing;
    expired integer[] := nothing;
    answers jsonb[] := array_fill(NULL::jsonb, ARRAY[cardinality(slot_ids)]);
    remembered integer := 0;
    kept integer;
BEGIN
    PERFORM 1 FROM appointment_slots AS s WHERE s.id = any(known) ORDER BY s.id FOR NO KEY UPDATE;
    clock := clock_timestamp();

    IF clock >= (
        SELECT min(first.expires_at)
        FROM unnest(known) AS w (slot_id)
        CROSS JOIN LATERAL (
            SELECT b.expires_at FROM bookings AS b
            WHERE b.slot_id = w.slot_id AND b.status = 'PENDING'
            ORDER BY b.expires_at
            LIMIT 1
        ) AS first
    ) THEN
        FOR wanted IN SELECT e.slot_id, e.holds FROM expire_holds(slot_ids, 'booking') AS e LOOP
            expired[array_position(slot_ids, wanted.slot_id)] := wanted.holds;
        END LOOP;
        -- Later than what was written just now: the ledger is in order of time too.
        clock := greatest(clock, clock_timestamp());
    END IF;

    FOR wanted IN
        SELECT
            w.place,
            w.slot_id,
            w.seats,
            w.confirmed,
            w.key_hash,
            s.total_seats,
            s.available_seats,
            s.last_event,
            s.doctor_id,
            d.name AS doctor_name,
            d.specialization,
            s.start_time,
            s.end_time,
            CASE
                WHEN k.body_hash = w.body_hash THEN 'replayed'
                WHEN k.body_hash IS NOT NULL THEN 'key_reused'
                WHEN s.id IS NULL THEN 'slot_not_found'
                WHEN s.status <> 'OPEN' OR NOT d.active THEN 'slot_closed'
                WHEN s.start_time <= clock THEN 'slot_started'
            END AS outcome,
            k.answer,
            k.manage_nonce
        FROM unnest(slot_ids, seats, confirmed, callers, routes, key_hashes, body_hashes) WITH ORDINALITY AS w (
            slot_id, seats, confirmed, caller, route, key_hash, body_hash, place
        )
        LEFT JOIN appointment_slots AS s ON w.slot_id = s.id AND s.id = any(known)
        LEFT JOIN doctors AS d ON s.doctor_id = d.id
        LEFT JOIN idempotency_keys AS k
            ON
                w.caller = k.caller
                AND w.route = k.route
                AND w.key_hash = k.key_hash
                AND k.created_at > clock - make_interval(secs => keep_seconds)
        ORDER BY w.slot_id, w.place
    LOOP
        IF slot IS DISTINCT FROM wanted.slot_id THEN
            slot := wanted.slot_id;
            free := wanted.available_seats;
            event := wanted.last_event;
        END IF;
        place := wanted.place;
        outcome := coalesce(wanted.outcome, CASE WHEN wanted.seats > free THEN 'slot_full' ELSE 'held' END);
        IF outcome = 'held' THEN
            free := free - wanted.seats;
            event := event + 1;
            booking_id := nextval('bookings_id_seq');
            expires_at := CASE WHEN NOT wanted.confirmed THEN clock + make_interval(secs => hold_seconds) END;
            ids[place] := booking_id;
            events[place] := event;
            available[place] := free;
            totals[place] := wanted.total_seats;
        ELSE
            booking_id := NULL;
            expires_at := NULL;
        END IF;
        available_seats := free;
        booked_at := clock;
        doctor_id := wanted.doctor_id;
        doctor_name := wanted.doctor_name;
        specialization := wanted.specialization;
        start_time := wanted.start_time;
        end_time := wanted.end_time;
        expired_holds := coalesce(expired[place], 0);
        answer := wanted.answer;
        manage_nonce := wanted.manage_nonce;
        RETURN NEXT;

        IF wanted.key_hash IS NOT NULL AND wanted.answer IS NULL THEN
            remembered := remembered + 1;
            -- A row of this function, without the person: that is in the repeated request.
            answers[place] := jsonb_build_object(
                'place', place,
                'outcome', outcome,
                'available_seats', available_seats,
                'booking_id', booking_id,
                'booked_at', booked_at,
                'expires_at', expires_at,
                'doctor_id', doctor_id,
                'doctor_name', doctor_name,
                'specialization', specialization,
                'start_time', start_time,
                'end_time', end_time
            );
        END IF;
    END LOOP;

    INSERT INTO bookings (
        id, slot_id, user_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at,
        manage_token_hash, created_at, updated_at
    )
    SELECT
        w.id,
        w.slot_id,
        w.user_id,
        w.user_name,
        w.user_email,
        w.seats,
        CASE WHEN w.confirmed THEN 'CONFIRMED' ELSE 'PENDING' END,
        CASE WHEN NOT w.confirmed THEN clock + make_interval(secs => hold_seconds) END,
        CASE WHEN w.confirmed THEN clock END,
        w.manage_token_hash,
        clock,
        clock
    FROM unnest(ids, slot_ids, seats, user_ids, user_names, user_emails, confirmed, manage_token_hashes) AS w (
        id, slot_id, seats, user_id, user_name, user_email, confirmed, manage_token_hash
    )
    WHERE w.id IS NOT NULL;

    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT
        w.slot_id,
        w.event,
        CASE WHEN w.confirmed THEN 'BOOKED' ELSE 'HELD' END,
        w.id,
        w.seats,
        w.available,
        w.total,
        w.actor,
        clock
    FROM unnest(ids, slot_ids, seats, confirmed, actors, available, events, totals) AS w (
        id, slot_id, seats, confirmed, actor, available, event, total
    )
    WHERE w.id IS NOT NULL;

    UPDATE appointment_slots AS s
    SET available_seats = t.available, last_event = t.event, updated_at = clock
    FROM (
        SELECT w.slot_id, min(w.available) AS available, max(w.event) AS event
        FROM unnest(slot_ids, available, events) AS w (slot_id, available, event)
        WHERE w.event IS NOT NULL
        GROUP BY w.slot_id
    ) AS t
    WHERE s.id = t.slot_id;

    IF remembered > 0 THEN
        -- In key order, so that two batches with two keys in common wait for each other in one direction only. A key
        -- past its time that was not pruned yet is taken over.
        INSERT INTO idempotency_keys AS k (caller, route, key_hash, body_hash, answer, manage_nonce)
        SELECT w.caller, w.route, w.key_hash, w.body_hash, w.answer, w.manage_nonce
        FROM unnest(callers, routes, key_hashes, body_hashes, answers, manage_nonces) AS w (
            caller, route, key_hash, body_hash, answer, manage_nonce
        )
        WHERE w.answer IS NOT NULL
        ORDER BY w.caller, w.route, w.key_hash
        ON CONFLICT (caller, route, key_hash) DO UPDATE
            SET
                body_hash = excluded.body_hash,
                answer = excluded.answer,
                manage_nonce = excluded.manage_nonce,
                created_at = excluded.created_at,
                updated_at = excluded.updated_at
            WHERE k.created_at <= clock - make_interval(secs => keep_seconds);
        GET DIAGNOSTICS kept = ROW_COUNT;
        IF kept < remembered THEN
            RAISE unique_violation USING
                MESSAGE = 'another transaction has used an idempotency key of this batch',
                CONSTRAINT = 'idempotency_keys_pkey';
        END IF;
    END IF;
END
$$;

-- Confirms the live holds of a batch; returns the bookings that exist, as they are afterwards, and what became of each.
CREATE FUNCTION confirm_bookings(booking_ids bigint[], user_names text[], user_emails text[], actors text[])
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

    RETURN QUERY
    SELECT
        b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
        b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time,
        b.end_time, w.outcome
    FROM unnest(ids, outcomes) AS w (id, outcome)
    INNER JOIN bookings_now AS b ON w.id = b.id;
END
$$;

-- Cancels the live bookings of a batch and gives their seats back; returns the bookings that exist, as they are
-- afterwards, and what became of each.
-- Cancel, expiry and confirm of one booking pass here one after the other, and only the first finds it live, so its
-- seats come back once.
CREATE FUNCTION cancel_bookings(booking_ids bigint[], reasons text[], actors text[])
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
                WHEN b.status = 'FAILED' OR (b.status = 'PENDING' AND b.expires_at <= clock.now) THEN 'failed'
                WHEN s.start_time <= clock.now THEN 'started'
                ELSE 'cancelled'
            END AS outcome
        FROM unnest(booking_ids, reasons, actors)
            WITH ORDINALITY AS w (booking_id, reason, actor, position)
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
