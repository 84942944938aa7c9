-- name: overbook_seats
-- Books seats of a slot for the desk, adding those that are missing, in its own transaction.
SELECT
    1 AS place, o.outcome, o.replayed, o.available_seats, (o.booking).booking_columns, o.expired_holds, o.manage_nonce
FROM overbook_seats(
        slot_id => :slot_id::bigint,
        seats => :seats::integer,
        user_name => :user_name::text,
        user_email => :user_email::text,
        reason => :reason::text,
        manage_token_hash => :manage_token_hash::bytea,
        actor => :actor::text,
        caller => :caller::text,
        route => :route::text,
        key_hash => :key_hash::bytea,
        body_hash => :body_hash::bytea,
        new_nonce => :new_nonce::bytea,
        request_id => :request_id::text,
        keep_seconds => :keep_seconds::integer
    ) AS o;
