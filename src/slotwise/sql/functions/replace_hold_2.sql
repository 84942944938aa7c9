-- Replaces a hold on the same slot, under one lock and in one transaction, so that no other request gets the seats in
-- between. If the new hold is refused, the old one is kept. Takes the arguments of `hold_seats_3` for one request, and
-- returns its row. Returns no row if the old hold was confirmed meanwhile: that booking is kept. An old hold that has
-- already ended is no obstacle.
-- A refusal is not kept for the idempotency key: it is rolled back with the attempt.
CREATE OR REPLACE FUNCTION replace_hold_2(
    old_booking_id bigint,
    slot_ids bigint[],
    seats integer[],
    user_ids bigint[],
    user_names text[],
    user_emails text[],
    confirmed boolean[],
    manage_token_hashes bytea[],
    actors text[],
    callers text[],
    routes text[],
    key_hashes bytea[],
    body_hashes bytea[],
    manage_nonces bytea[],
    request_ids text[],
    hold_seconds integer,
    keep_seconds integer,
    visit_type_ids bigint[],
    by_desk boolean
) RETURNS TABLE (
    place integer,
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
    made record;
BEGIN
    BEGIN
        IF EXISTS (
            SELECT FROM cancel_bookings(ARRAY[old_booking_id], ARRAY[NULL::text], actors, ARRAY[TRUE], NULL) AS c
            WHERE c.outcome = 'confirmed'
        ) THEN
            RETURN;
        END IF;

        SELECT h.place, h.outcome, h.replayed, h.available_seats, h.booking, h.expired_holds, h.manage_nonce INTO made
        FROM hold_seats_3(
                slot_ids => slot_ids,
                seats => seats,
                user_ids => user_ids,
                user_names => user_names,
                user_emails => user_emails,
                confirmed => confirmed,
                manage_token_hashes => manage_token_hashes,
                actors => actors,
                callers => callers,
                routes => routes,
                key_hashes => key_hashes,
                body_hashes => body_hashes,
                manage_nonces => manage_nonces,
                request_ids => NULL,
                hold_seconds => hold_seconds,
                keep_seconds => keep_seconds,
                visit_type_ids => visit_type_ids,
                by_desk => by_desk,
                refusals => NULL
            ) AS h;

        IF made.outcome <> 'held' THEN
            RAISE EXCEPTION USING ERRCODE = 'SW001', MESSAGE = 'the hold stays as it was';
        END IF;
    EXCEPTION
        -- Takes back what this block has done; what it found out stays in the variables.
        WHEN SQLSTATE 'SW001' THEN NULL;
    END;

    place := made.place;
    outcome := made.outcome;
    replayed := made.replayed;
    available_seats := made.available_seats;
    booking := made.booking;
    expired_holds := made.expired_holds;
    manage_nonce := made.manage_nonce;

    IF request_ids IS NOT NULL AND outcome = 'held' AND NOT replayed THEN
        INSERT INTO audit_log (actor, action, subject, details, request_id)
        VALUES (
            actors[1],
            'hold_seats',
            'booking:' || booking.id,
            jsonb_build_object(
                'slot', booking.slot_id,
                'seats', booking.seats_booked,
                'status', booking.status,
                'instead_of_booking', old_booking_id
            ),
            request_ids[1]
        );
    END IF;
    RETURN NEXT;
END
$$;
