-- For the release before, which knows no visit types: `hold_seats_3` without them.
CREATE OR REPLACE FUNCTION hold_seats(
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
    keep_seconds integer
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
AS $$
#variable_conflict use_variable
BEGIN
    RETURN QUERY
    SELECT h.place, h.outcome, h.replayed, h.available_seats, h.booking, h.expired_holds, h.manage_nonce
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
            request_ids => request_ids,
            hold_seconds => hold_seconds,
            keep_seconds => keep_seconds,
            visit_type_ids => NULL,
            by_desk => request_ids IS NOT NULL,
            refusals => NULL
        ) AS h;
END
$$;
