-- name: hold_seats
-- Holds seats for a request of the desk, as `bookings.hold_seats` does for a batch, and notes that they are held.
-- Here and below, one statement does both: a lock is never held while a message travels, and no change is without its
-- note.
WITH made AS (
    SELECT
        h.place,
        h.outcome,
        h.available_seats,
        h.booking_id,
        h.booked_at,
        h.expires_at,
        h.doctor_id,
        h.doctor_name,
        h.specialization,
        h.start_time,
        h.end_time,
        h.expired_holds,
        h.answer::text AS answer,
        h.manage_nonce
    FROM hold_seats(
            slot_ids => ARRAY[:slot_id::bigint],
            seats => ARRAY[:seats::integer],
            user_ids => ARRAY[:user_id::bigint],
            user_names => ARRAY[:user_name::text],
            user_emails => ARRAY[:user_email::text],
            confirmed => ARRAY[:confirmed::boolean],
            manage_token_hashes => ARRAY[:manage_token_hash::bytea],
            actors => ARRAY[:actor::text],
            callers => array_remove(ARRAY[:caller::text], NULL),
            routes => array_remove(ARRAY[:route::text], NULL),
            key_hashes => array_remove(ARRAY[:key_hash::bytea], NULL),
            body_hashes => array_remove(ARRAY[:body_hash::bytea], NULL),
            manage_nonces => array_remove(ARRAY[:manage_nonce::bytea], NULL),
            hold_seconds => :hold_seconds::integer,
            keep_seconds => :keep_seconds::integer
        ) AS h
),

noted AS (
    INSERT INTO audit_log (actor, action, subject, details, request_id)
    SELECT
        :actor::text,
        'hold_seats',
        'booking:' || m.booking_id,
        jsonb_build_object(
            'slot', :slot_id::bigint,
            'seats', :seats::integer,
            'status', CASE WHEN :confirmed::boolean THEN 'CONFIRMED' ELSE 'PENDING' END
        ),
        :request_id::text
    FROM made AS m
    WHERE m.outcome = 'held'
)

SELECT
    m.place,
    m.outcome,
    m.available_seats,
    m.booking_id,
    m.booked_at,
    m.expires_at,
    m.doctor_id,
    m.doctor_name,
    m.specialization,
    m.start_time,
    m.end_time,
    m.expired_holds,
    m.answer,
    m.manage_nonce
FROM made AS m;

-- name: confirm_booking
-- Confirms a live hold for the desk, and notes it.
WITH made AS (
    SELECT b.* FROM confirm_bookings(
            ARRAY[:booking_id::bigint], ARRAY[:user_name::text], ARRAY[:user_email::text], ARRAY[:actor::text]
        ) AS b
),

noted AS (
    INSERT INTO audit_log (actor, action, subject, details, request_id)
    SELECT
        :actor::text,
        'confirm_booking',
        'booking:' || m.id,
        jsonb_build_object('status', jsonb_build_array('PENDING', 'CONFIRMED')),
        :request_id::text
    FROM made AS m
    WHERE m.outcome = 'confirmed'
)

SELECT
    m.id, m.slot_id, m.user_id, m.user_name, m.user_email, m.seats_booked, m.status, m.expires_at, m.confirmed_at,
    m.cancelled_at, m.created_at, m.updated_at, m.doctor_id, m.doctor_name, m.specialization, m.start_time, m.end_time,
    m.outcome
FROM made AS m;

-- name: cancel_booking
-- Cancels a live booking, or only a hold, for the desk, and notes it. Of the reason, which may name somebody, only that
-- there is one.
WITH made AS (
    SELECT b.* FROM cancel_bookings(
            ARRAY[:booking_id::bigint], ARRAY[:reason::text], ARRAY[:actor::text], ARRAY[:only_hold::boolean]
        ) AS b
),

noted AS (
    INSERT INTO audit_log (actor, action, subject, details, request_id)
    SELECT
        :actor::text,
        'cancel_booking',
        'booking:' || m.id,
        jsonb_build_object(
            'status',
            jsonb_build_array(CASE WHEN m.confirmed_at IS NULL THEN 'PENDING' ELSE 'CONFIRMED' END, 'CANCELLED')
        ) || CASE WHEN :reason::text IS NULL THEN '{}' ELSE '{"reason": true}' END::jsonb,
        :request_id::text
    FROM made AS m
    WHERE m.outcome = 'cancelled'
)

SELECT
    m.id, m.slot_id, m.user_id, m.user_name, m.user_email, m.seats_booked, m.status, m.expires_at, m.confirmed_at,
    m.cancelled_at, m.created_at, m.updated_at, m.doctor_id, m.doctor_name, m.specialization, m.start_time, m.end_time,
    m.outcome
FROM made AS m;
