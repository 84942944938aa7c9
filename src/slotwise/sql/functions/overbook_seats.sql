-- Books seats of a slot although it is full: adds the seats that are missing, with their ledger row, and books them.
-- The booking keeps how many were added; `take_added_seats` takes them away with it.
-- Everything else is decided by `hold_seats_3`. If it refuses, no seat is added, and the refusal is not kept for the
-- idempotency key: it is rolled back with the attempt.
-- One call under the slot's lock: a hold that waits for the lock finds the added seats taken, never free.
CREATE OR REPLACE FUNCTION overbook_seats(
    slot_id bigint,
    seats integer,
    user_name text,
    user_email text,
    reason text,
    manage_token_hash bytea,
    actor text,
    -- Null without an idempotency key.
    caller text,
    route text,
    key_hash bytea,
    body_hash bytea,
    new_nonce bytea,
    request_id text,
    keep_seconds integer
) RETURNS TABLE (
    -- As of `hold_seats_3`. 'slot_full' if the slot would have more than a million seats.
    outcome text,
    replayed boolean,
    available_seats integer,
    booking bookings_now,
    expired_holds integer,
    manage_nonce bytea
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_variable
DECLARE
    keys constant integer := CASE WHEN key_hash IS NULL THEN 0 ELSE 1 END;
    slot appointment_slots;
    missing integer := 0;
    made record;
BEGIN
    PERFORM 1 FROM appointment_slots AS s WHERE s.id = slot_id ORDER BY s.id FOR NO KEY UPDATE;
    -- Their seats are free: none has to be added for them. They fail whether or not the booking is made.
    SELECT coalesce(sum(e.holds), 0) INTO expired_holds FROM expire_holds(ARRAY[slot_id], 'booking') AS e;
    SELECT s.* INTO slot FROM appointment_slots AS s WHERE s.id = slot_id;

    IF NOT EXISTS (
        SELECT FROM idempotency_keys AS k
        WHERE
            k.caller = overbook_seats.caller
            AND k.route = overbook_seats.route
            AND k.key_hash = overbook_seats.key_hash
            AND k.created_at > clock_timestamp() - make_interval(secs => keep_seconds)
    ) THEN
        missing := greatest(seats - slot.available_seats, 0);
    END IF;
    IF slot.id IS NULL OR slot.total_seats + missing > 1000000 THEN
        missing := 0;
    END IF;

    BEGIN
        IF missing > 0 THEN
            INSERT INTO booking_events (
                slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
            ) VALUES (
                slot.id,
                slot.last_event + 1,
                'RESIZED',
                NULL,
                slot.total_seats + missing,
                slot.available_seats + missing,
                slot.total_seats + missing,
                actor,
                clock_timestamp()
            );

            UPDATE appointment_slots AS s
            SET
                total_seats = slot.total_seats + missing,
                available_seats = slot.available_seats + missing,
                added_seats = slot.added_seats + missing,
                last_event = slot.last_event + 1,
                updated_at = clock_timestamp()
            WHERE s.id = slot.id;
        END IF;

        SELECT h.outcome, h.replayed, h.available_seats, h.booking, h.expired_holds, h.manage_nonce INTO made
        FROM hold_seats_3(
                slot_ids => ARRAY[slot_id],
                seats => ARRAY[seats],
                user_ids => ARRAY[NULL::bigint],
                user_names => ARRAY[user_name],
                user_emails => ARRAY[user_email],
                confirmed => ARRAY[TRUE],
                manage_token_hashes => ARRAY[manage_token_hash],
                actors => ARRAY[actor],
                callers => array_fill(caller, ARRAY[keys]),
                routes => array_fill(route, ARRAY[keys]),
                key_hashes => array_fill(key_hash, ARRAY[keys]),
                body_hashes => array_fill(body_hash, ARRAY[keys]),
                manage_nonces => array_fill(new_nonce, ARRAY[keys]),
                request_ids => NULL,
                hold_seconds => 0,
                keep_seconds => keep_seconds,
                visit_type_ids => NULL,
                by_desk => TRUE,
                refusals => NULL
            ) AS h;

        IF made.outcome <> 'held' THEN
            RAISE EXCEPTION USING ERRCODE = 'SW001', MESSAGE = 'no seat is added';
        END IF;
    EXCEPTION
        -- Takes back what this block has done; what it found out stays in the variables.
        WHEN SQLSTATE 'SW001' THEN NULL;
    END;

    outcome := made.outcome;
    replayed := made.replayed;
    available_seats := made.available_seats;
    booking := made.booking;
    expired_holds := expired_holds + made.expired_holds;
    manage_nonce := made.manage_nonce;

    IF outcome = 'held' AND NOT replayed THEN
        IF missing > 0 THEN
            booking.added_seats := missing;

            UPDATE bookings AS b
            SET added_seats = missing, overbooking_reason = reason
            WHERE b.id = booking.id;

            UPDATE idempotency_keys AS k
            SET answer = jsonb_set(k.answer, '{booking,added_seats}', to_jsonb(missing))
            WHERE
                k.caller = overbook_seats.caller
                AND k.route = overbook_seats.route
                AND k.key_hash = overbook_seats.key_hash;
        END IF;

        INSERT INTO audit_log (actor, action, subject, details, request_id)
        VALUES (
            actor,
            'overbook_seats',
            'booking:' || booking.id,
            jsonb_build_object('slot', slot_id, 'seats', seats, 'added_seats', missing),
            request_id
        );
    END IF;
    RETURN NEXT;
END
$$;
