-- name: hold_seats
-- Holds seats for a batch of requests, in order of arrival, in its own transaction.
SELECT h.place, h.outcome, h.replayed, h.available_seats, (h.booking).booking_columns, h.expired_holds, h.manage_nonce
FROM hold_seats_3(
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
        request_ids => :request_ids::text[],
        hold_seconds => :hold_seconds::integer,
        keep_seconds => :keep_seconds::integer,
        visit_type_ids => :visit_type_ids::bigint[],
        by_desk => :by_desk::boolean,
        refusals => NULL
    ) AS h;

-- name: hold_times
-- Holds times of open windows for a batch of requests, in order of arrival, in its own transaction.
SELECT h.place, h.outcome, h.replayed, h.available_seats, (h.booking).booking_columns, h.expired_holds, h.manage_nonce
FROM hold_times(
        window_ids => :window_ids::bigint[],
        start_times => :start_times::timestamptz[],
        end_times => :end_times::timestamptz[],
        visit_type_ids => :visit_type_ids::bigint[],
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
        request_ids => :request_ids::text[],
        hold_seconds => :hold_seconds::integer,
        keep_seconds => :keep_seconds::integer,
        by_desk => :by_desk::boolean
    ) AS h;

-- name: replace_hold
-- Replaces a hold on the same slot, in its own transaction; no row if the old hold was confirmed.
SELECT h.place, h.outcome, h.replayed, h.available_seats, (h.booking).booking_columns, h.expired_holds, h.manage_nonce
FROM replace_hold_2(
        old_booking_id => :old_booking_id::bigint,
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
        request_ids => :request_ids::text[],
        hold_seconds => :hold_seconds::integer,
        keep_seconds => :keep_seconds::integer,
        visit_type_ids => :visit_type_ids::bigint[],
        by_desk => :by_desk::boolean
    ) AS h;

-- name: confirm_bookings
-- Confirms the live holds of a batch, in its own transaction; a row for each booking that exists, with what its visit
-- type says to the patient. The type was there before this statement, so the statement's snapshot has it.
SELECT (c.booking).booking_columns, c.outcome, t.booked_visit_columns
FROM confirm_bookings_2(
        booking_ids => :booking_ids::bigint[],
        user_names => :user_names::text[],
        user_emails => :user_emails::text[],
        actors => :actors::text[],
        request_ids => :request_ids::text[],
        by_desk => :by_desk::boolean
    ) AS c
LEFT JOIN visit_types AS t ON (c.booking).visit_type_id = t.id;

-- name: cancel_bookings
-- Cancels the live bookings of a batch, in its own transaction; a row for each booking that exists.
-- Also notes for which of them the patient had asked the desk. In another statement, the note could be lost, and a page
-- could say meanwhile that the clinic had cancelled by itself. The function, which notes the cancellation, does not do
-- it, because another parameter would be another version of it.
WITH cancelled AS MATERIALIZED (
    SELECT c.booking, c.outcome
    FROM cancel_bookings_2(
            booking_ids => :booking_ids::bigint[],
            reasons => :reasons::text[],
            actors => :actors::text[],
            only_holds => :only_holds::boolean[],
            request_ids => :request_ids::text[],
            by_desk => :by_desk::boolean
        ) AS c
),

noted AS (
    INSERT INTO audit_log (actor, action, subject, request_id)
    SELECT w.actor, 'note_patients_wish', 'booking:' || w.booking_id, w.request_id
    FROM unnest(
            :booking_ids::bigint[], :actors::text[], :request_ids::text[], :patients_asked::boolean[]
        ) AS w (booking_id, actor, request_id, patient_asked)
    INNER JOIN cancelled AS c ON w.booking_id = (c.booking).id
    WHERE w.patient_asked AND c.outcome = 'cancelled'
)

SELECT (c.booking).booking_columns, c.outcome
FROM cancelled AS c;

-- name: sweep_holds
-- Fails overdue holds of slots that are not locked, and gives their seats back.
SELECT e.slot_id, e.holds
FROM sweep_holds(:holds_looked_at::integer, :actor::text) AS e;

-- name: read_bookings
-- Reads some bookings by id.
SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id = any(:booking_ids::bigint[]);

-- name: read_claimed_bookings
-- Reads bookings, what callers' claims to them are checked against, and what their visit types say to the patient.
SELECT n.booking_columns, b.manage_token_hash, t.booked_visit_columns
FROM bookings AS b
INNER JOIN bookings_now AS n ON b.id = n.id
LEFT JOIN visit_types AS t ON b.visit_type_id = t.id
WHERE b.id = any(:booking_ids::bigint[]);

-- name: list_bookings_of_slot
-- A page of a slot's bookings, oldest first.
-- The limit of 501 (a page and one more) is a number here and below for the reason given with `list_slots`. It compares
-- a row instead of using `=` for the reason given with `list_bookings_of_slots`.
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

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.id;

-- name: list_bookings_of_user
-- A page of an account's bookings, newest first.
-- By account, because anyone can book with any e-mail address. With `own_email`, only the bookings with that address.
WITH page AS (
    SELECT b.id
    FROM (
        SELECT b.id FROM bookings AS b
        WHERE
            b.user_id = :user_id::bigint
            AND b.id < :before_id::bigint
            AND (:own_email::text IS NULL OR email_key(b.user_email) = email_key(:own_email::text))
        ORDER BY b.id DESC
        LIMIT 501
    ) AS b
    ORDER BY b.id DESC
    LIMIT :limit::integer
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.id DESC;
