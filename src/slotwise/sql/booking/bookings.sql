-- name: hold_seats
-- Holds seats for a batch of requests, in order of arrival, in one transaction of its own.
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
        slot_ids => :slot_ids::bigint[],
        seats => :seats::integer[],
        user_ids => :user_ids::bigint[],
        user_names => :user_names::text[],
        user_emails => :user_emails::text[],
        confirmed => :confirmed::boolean[],
        manage_token_hashes => :manage_token_hashes::bytea[],
        actors => :actors::text[],
        callers => :callers::text[],
        routes => :routes::text[],
        key_hashes => :key_hashes::bytea[],
        body_hashes => :body_hashes::bytea[],
        manage_nonces => :manage_nonces::bytea[],
        hold_seconds => :hold_seconds::integer,
        keep_seconds => :keep_seconds::integer
    ) AS h;

-- name: confirm_bookings
-- Confirms the live holds of a batch, in one transaction of its own; a row for each booking that exists.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time,
    b.outcome
FROM confirm_bookings(:booking_ids::bigint[], :user_names::text[], :user_emails::text[], :actors::text[]) AS b;

-- name: cancel_bookings
-- Cancels the live bookings of a batch, or the holds among them, in one transaction of its own; a row for each booking
-- that exists.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time,
    b.outcome
FROM cancel_bookings(
        :booking_ids::bigint[], :reasons::text[], :actors::text[], :only_holds::boolean[]
    ) AS b;

-- name: replace_hold
-- Holds seats in place of a hold of the same slot, in one transaction of its own; no row where that was confirmed.
-- Where the desk does it, that is noted in the same statement, as in desk_changes.sql.
WITH made AS (
    SELECT
        h.place,
        h.outcome,
        h.available_seats,
        h.new_booking_id AS booking_id,
        h.booked_at,
        h.expires_at,
        h.doctor_id,
        h.doctor_name,
        h.specialization,
        h.start_time,
        h.end_time,
        h.expired_holds,
        h.answer::text AS answer,
        h.new_manage_nonce AS manage_nonce
    FROM replace_hold(
            booking_id => :booking_id::bigint,
            slot_id => :slot_id::bigint,
            seats => :seats::integer,
            user_id => :user_id::bigint,
            manage_token_hash => :manage_token_hash::bytea,
            actor => :actor::text,
            caller => :caller::text,
            route => :route::text,
            key_hash => :key_hash::bytea,
            body_hash => :body_hash::bytea,
            manage_nonce => :manage_nonce::bytea,
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
            'status', 'PENDING',
            'instead_of_booking', :booking_id::bigint
        ),
        :request_id::text
    FROM made AS m
    WHERE :at_desk::boolean AND m.outcome = 'held'
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

-- name: sweep_holds
-- Fails overdue holds of the slots that nobody has locked, and gives their seats back.
SELECT e.slot_id, e.holds
FROM sweep_holds(:holds_looked_at::integer, :actor::text) AS e;

-- name: read_bookings
-- Reads some bookings by id.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM bookings_now AS b
WHERE b.id = any(:booking_ids::bigint[]);

-- name: list_bookings_of_slot
-- A page of a slot's bookings, oldest first.
-- The limit of 501, a page and one more, is a number here and below for the reason given with `list_slots`. Why a row
-- is compared where `=` would do is told with `list_bookings_of_slots`.
WITH page AS (
    SELECT b.id
    FROM (
        SELECT b.slot_id, b.id FROM bookings AS b
        WHERE b.slot_id <= :slot_id::bigint AND (b.slot_id, b.id) > (:slot_id::bigint, :after_id::bigint)
        ORDER BY b.slot_id, b.id
        LIMIT 501
    ) AS b
    ORDER BY b.slot_id, b.id
    LIMIT :limit::integer
)

SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.id;

-- name: list_bookings_of_user
-- A page of an account's bookings, newest first. By account: an e-mail address is anybody's claim.
-- With `own_email`, only those that bear it.
WITH page AS (
    SELECT b.id
    FROM (
        SELECT b.id FROM bookings AS b
        WHERE
            b.user_id = :user_id::bigint
            AND b.id < :before_id::bigint
            AND (:own_email::text IS NULL OR lower(b.user_email) = lower(:own_email::text))
        ORDER BY b.id DESC
        LIMIT 501
    ) AS b
    ORDER BY b.id DESC
    LIMIT :limit::integer
)

SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.id DESC;
