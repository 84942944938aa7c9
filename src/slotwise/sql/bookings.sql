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
-- Cancels the live bookings of a batch, in one transaction of its own; a row for each booking that exists.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time,
    b.outcome
FROM cancel_bookings(:booking_ids::bigint[], :reasons::text[], :actors::text[]) AS b;

-- name: lock_overdue_slots
-- Takes the locks of slots that have overdue holds, as many as one sweep does at a time.
-- SKIP LOCKED: a sweep waits for nobody. A booking that holds the lock expires the slot's overdue holds itself, and
-- what another holder leaves is found by the next sweep.
SELECT s.id
FROM appointment_slots AS s
WHERE s.id IN (
        SELECT b.slot_id FROM bookings AS b
        WHERE b.status = 'PENDING' AND b.expires_at AT TIME ZONE 'UTC' <= (SELECT clock_timestamp() AT TIME ZONE 'UTC')
        ORDER BY b.expires_at AT TIME ZONE 'UTC'
        LIMIT :limit::integer
    )
ORDER BY s.id
FOR NO KEY UPDATE SKIP LOCKED;

-- name: expire_holds
-- Fails the overdue holds of slots whose locks are held, and gives their seats back.
SELECT e.slot_id, e.holds
FROM expire_holds(:slot_ids::bigint[], :actor::text) AS e;

-- name: read_bookings
-- Reads some bookings by id.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM bookings_now AS b
WHERE b.id = any(:booking_ids::bigint[]);

-- name: read_claim
-- Tells by what a caller can prove that a booking is theirs.
SELECT b.user_id, b.manage_token_hash
FROM bookings AS b
WHERE b.id = :booking_id::bigint;

-- name: list_bookings_of_slot
-- A page of a slot's bookings, oldest first.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM bookings_now AS b
WHERE b.slot_id = :slot_id::bigint AND b.id > :after_id::bigint
ORDER BY b.id
LIMIT :limit::integer;

-- name: list_bookings_of_user
-- A page of an account's bookings, newest first. By account: an e-mail address is anybody's claim.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM bookings_now AS b
WHERE b.user_id = :user_id::bigint AND b.id < :before_id::bigint
ORDER BY b.id DESC
LIMIT :limit::integer;

-- name: list_bookings
-- A page of all bookings for the desk, newest first; a filter that is null does not filter.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM bookings_now AS b
WHERE
    b.id < :before_id::bigint
    AND (:status::text IS NULL OR b.status = :status::text)
    AND (:doctor_id::bigint IS NULL OR b.doctor_id = :doctor_id::bigint)
    AND (:slot_id::bigint IS NULL OR b.slot_id = :slot_id::bigint)
    AND (:starts_from::timestamptz IS NULL OR b.start_time >= :starts_from::timestamptz)
    AND (:starts_before::timestamptz IS NULL OR b.start_time < :starts_before::timestamptz)
    AND (
        :pattern::text IS NULL
        OR b.user_name ILIKE :pattern::text
        OR b.user_email ILIKE :pattern::text
    )
ORDER BY b.id DESC
LIMIT :limit::integer;
