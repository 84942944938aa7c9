-- Holds seats for a batch of requests, in order of arrival. Returns a row for each request, in any order.
-- If a request wants more seats than are left, only this request is refused. A smaller one after it may still fit, so
-- every refusal is true. A request whose idempotency key was used before gets the answer that was given then.
-- Raises unique_violation on idempotency_keys_pkey if another transaction has used one of the keys since this one
-- looked. Then nothing was done: call again.
-- docs/adr/0006-booking-functions.md has the rules that all functions of the booking path share.
--
-- The steps:
--   1. lock the slots, and the patients of visit types with a limit
--   2. fail their overdue holds, so that their seats are free
--   3. decide each request, slot by slot, in order of arrival
--   4. write bookings, ledger and slots
--   5. keep the answers for idempotency keys
--   6. note what the desk did
CREATE OR REPLACE FUNCTION hold_seats_3(
    slot_ids bigint[],
    seats integer[],
    user_ids bigint[],
    user_names text[],
    user_emails text[],
    confirmed boolean[],
    manage_token_hashes bytea[],
    actors text[],
    -- Null for a request without an idempotency key. The five arrays are empty if no request has one.
    callers text[],
    routes text[],
    key_hashes bytea[],
    body_hashes bytea[],
    manage_nonces bytea[],
    -- Of a batch of the desk, which is noted in the audit log. Null for other batches.
    request_ids text[],
    hold_seconds integer,
    keep_seconds integer,
    -- Null for a request without a visit type. Null altogether if no request has one: then nothing is asked about them.
    visit_type_ids bigint[],
    -- True for the desk, which may book in spite of the rules of visit types.
    by_desk boolean,
    -- Null for published slots; a slot that was carved out of a window is closed to them. Of `hold_times`: why a
    -- request got no slot, null for each that has one. 'again' is not kept as an answer.
    refusals text[]
) RETURNS TABLE (
    -- Of the request in the batch, from 1.
    place integer,
    outcome text,
    -- True if this answer was given before, for the same idempotency key.
    replayed boolean,
    -- Free seats after this request; for a refusal, how many there were.
    available_seats integer,
    -- Null if nothing is held.
    booking bookings_now,
    -- Overdue holds of the slot that failed; only in the row of the first request for the slot.
    expired_holds integer,
    -- Of a replayed answer: its manage token is made from this.
    manage_nonce bytea
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_column
DECLARE
    nothing constant bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(slot_ids)]);
    -- Slots are never deleted, so these are the ones that get locked. A slot that is created meanwhile is not among them,
    -- and must not be acted on.
    -- `last_event` is in no index. For ids alone, a plan from when there were few slots could go through a whole index.
    known constant bigint[] := ARRAY(
        SELECT s.id FROM appointment_slots AS s WHERE s.id = any(slot_ids) AND s.last_event >= 0
    );
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
    -- Of one request with a visit type; and of all that were admitted up to now, each with its type.
    visit_type bigint;
    patients bytea[];
    admitted text[] := '{}';
    to_keep integer := 0;
    kept integer;
BEGIN
    -- 1. Lock the slots, and the patients.
    PERFORM 1 FROM appointment_slots AS s WHERE s.id = any(known) ORDER BY s.id FOR NO KEY UPDATE;
    IF visit_type_ids IS NOT NULL AND NOT by_desk THEN
        PERFORM lock_patients(visit_type_ids, user_ids, user_emails);
    END IF;
    clock := clock_timestamp();

    -- 2. Fail overdue holds. To know that there are none costs one look at an index for each slot.
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

    -- 3. Decide.
    FOR wanted IN
        SELECT
            w.place,
            w.slot_id,
            w.seats,
            w.user_id,
            w.user_name,
            w.user_email,
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
            s.clinic_id,
            CASE
                WHEN k.body_hash = w.body_hash THEN k.answer ->> 'outcome'
                WHEN k.body_hash IS NOT NULL THEN 'key_reused'
                WHEN refusals[w.place::integer] IS NOT NULL THEN refusals[w.place::integer]
                WHEN s.id IS NULL THEN 'slot_not_found'
                WHEN s.status <> 'OPEN' OR NOT d.active OR (s.window_id IS NOT NULL AND refusals IS NULL) THEN 'slot_closed'
                WHEN s.start_time <= clock THEN 'slot_started'
            END AS outcome,
            coalesce(k.body_hash = w.body_hash, FALSE) AS replayed,
            k.answer,
            k.manage_nonce
        FROM unnest(
                slot_ids,
                seats,
                user_ids,
                user_names,
                user_emails,
                confirmed,
                callers,
                routes,
                key_hashes,
                body_hashes
            ) WITH ORDINALITY AS w (
            slot_id,
            seats,
            user_id,
            user_name,
            user_email,
            confirmed,
            caller,
            route,
            key_hash,
            body_hash,
            place
        )
        LEFT JOIN appointment_slots AS s ON w.slot_id = s.id AND w.slot_id = any(known)
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
            -- Of `hold_times`, all are free: it has found them so, or has just made them.
            free := CASE WHEN refusals IS NULL THEN wanted.available_seats ELSE wanted.total_seats END;
            event := wanted.last_event;
        END IF;
        place := wanted.place;
        IF visit_type_ids IS NOT NULL THEN
            visit_type := visit_type_ids[place];
            IF visit_type IS NOT NULL AND wanted.outcome IS NULL THEN
                patients := patient_keys(CASE WHEN NOT by_desk THEN wanted.user_id END, wanted.user_email);
                wanted.outcome := check_visit(
                    visit_type,
                    (SELECT o.visit_type_ids FROM appointment_slots AS o WHERE o.id = wanted.slot_id),
                    wanted.start_time,
                    clock,
                    wanted.user_id,
                    patients,
                    admitted,
                    by_desk
                );
            END IF;
        END IF;
        outcome := coalesce(wanted.outcome, CASE WHEN wanted.seats > free THEN 'slot_full' ELSE 'held' END);
        replayed := wanted.replayed;
        expired_holds := coalesce(expired[place], 0);
        manage_nonce := wanted.manage_nonce;
        booking := NULL;
        IF outcome = 'held' THEN
            booking.slot_id := wanted.slot_id;
            booking.user_id := wanted.user_id;
            booking.user_name := wanted.user_name;
            booking.user_email := wanted.user_email;
            booking.seats_booked := wanted.seats;
            booking.status := CASE WHEN wanted.confirmed THEN 'CONFIRMED' ELSE 'PENDING' END;
            -- Not part of a kept answer of the release before.
            booking.clinic_id := wanted.clinic_id;
            booking.visit_type_id := visit_type;
            IF replayed THEN
                booking := jsonb_populate_record(booking, wanted.answer -> 'booking');
            ELSE
                free := free - wanted.seats;
                event := event + 1;
                booking.id := nextval('bookings_id_seq');
                booking.expires_at := CASE WHEN NOT wanted.confirmed THEN clock + make_interval(secs => hold_seconds) END;
                booking.confirmed_at := CASE WHEN wanted.confirmed THEN clock END;
                booking.created_at := clock;
                booking.updated_at := clock;
                booking.doctor_id := wanted.doctor_id;
                booking.doctor_name := wanted.doctor_name;
                booking.specialization := wanted.specialization;
                booking.start_time := wanted.start_time;
                booking.end_time := wanted.end_time;
                ids[place] := booking.id;
                events[place] := event;
                available[place] := free;
                totals[place] := wanted.total_seats;
                IF visit_type IS NOT NULL THEN
                    admitted := admitted || visits_of(visit_type, patients);
                END IF;
            END IF;
        END IF;
        available_seats := CASE WHEN replayed THEN (wanted.answer ->> 'available_seats')::integer ELSE free END;
        RETURN NEXT;

        -- A request that is to be tried again has no answer yet.
        IF wanted.key_hash IS NOT NULL AND wanted.answer IS NULL AND outcome <> 'again' THEN
            to_keep := to_keep + 1;
            -- Without the person, who is in the repeated request.
            answers[place] := jsonb_build_object(
                'outcome', outcome,
                'available_seats', available_seats,
                'booking', to_jsonb(booking) - ARRAY['user_id', 'user_name', 'user_email']
            );
        END IF;
    END LOOP;

    -- 4. Write.
    INSERT INTO bookings (
        id, slot_id, user_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at,
        manage_token_hash, visit_type_id, created_at, updated_at
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
        -- Not one more array to unnest: that made every batch without visit types a tenth slower.
        visit_type_ids[w.place::integer],
        clock,
        clock
    FROM unnest(
            ids, slot_ids, seats, user_ids, user_names, user_emails, confirmed, manage_token_hashes
        ) WITH ORDINALITY AS w (
        id, slot_id, seats, user_id, user_name, user_email, confirmed, manage_token_hash, place
    )
    WHERE w.id IS NOT NULL;

    IF visit_type_ids IS NOT NULL THEN
        INSERT INTO patient_visits (patient, visit_type_id, booking_id)
        SELECT p.patient, w.visit_type_id, w.id
        FROM unnest(ids, visit_type_ids, user_ids, user_emails) AS w (id, visit_type_id, user_id, user_email)
        CROSS JOIN
            LATERAL unnest(patient_keys(CASE WHEN NOT by_desk THEN w.user_id END, w.user_email)) AS p (patient)
        WHERE w.id IS NOT NULL AND w.visit_type_id IS NOT NULL;
    END IF;

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

    -- 5. Keep answers.
    IF to_keep > 0 THEN
        -- In key order, so that of two batches with two keys in common one waits for the other, and never both. A key
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
        IF kept < to_keep THEN
            RAISE unique_violation USING
                MESSAGE = 'another transaction has used an idempotency key of this batch',
                CONSTRAINT = 'idempotency_keys_pkey';
        END IF;
    END IF;

    -- 6. Note what the desk did.
    IF request_ids IS NOT NULL THEN
        INSERT INTO audit_log (actor, action, subject, details, request_id)
        SELECT
            w.actor,
            'hold_seats',
            'booking:' || w.id,
            jsonb_build_object(
                'slot', w.slot_id,
                'seats', w.seats,
                'status', CASE WHEN w.confirmed THEN 'CONFIRMED' ELSE 'PENDING' END
            ),
            w.request_id
        FROM unnest(ids, slot_ids, seats, confirmed, actors, request_ids) WITH ORDINALITY AS w (
            id, slot_id, seats, confirmed, actor, request_id, place
        )
        WHERE w.id IS NOT NULL
        ORDER BY w.place;
    END IF;
END
$$;
