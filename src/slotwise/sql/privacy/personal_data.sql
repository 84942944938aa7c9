-- name: find_account
-- Finds the account with an e-mail address.
SELECT u.id
FROM users AS u
WHERE email_key(u.email) = email_key(:email::text);

-- name: get_account
-- Reads all that is kept about an account, except the hash of its password.
SELECT u.id, u.email, u.name, u.role, u.active, u.was_desk, u.created_at, u.updated_at
FROM users AS u
WHERE u.id = :user_id::bigint;

-- name: list_bookings_of_account
-- Lists the bookings of an account by id.
SELECT b.id
FROM bookings_of_account(:user_id::bigint) AS b
ORDER BY b.id;

-- name: list_bookings_of_email
-- Lists the bookings with an e-mail address by id, no matter who made them.
-- Reads all bookings: an index for this rare search would make every booking slower.
SELECT b.id
FROM bookings AS b
WHERE email_key(b.user_email) = email_key(:email::text)
ORDER BY b.id;

-- name: read_kept_bookings
-- Reads some bookings with all that they contain about a person.
SELECT
    n.id, n.slot_id, n.user_id, n.user_name, n.user_email, n.seats_booked, n.status, n.expires_at, n.confirmed_at,
    n.cancelled_at, b.cancel_reason, b.added_seats, b.overbooking_reason, n.created_at, n.updated_at, n.doctor_id,
    n.doctor_name, n.specialization, n.start_time, n.end_time
FROM bookings AS b
INNER JOIN bookings_now AS n ON b.id = n.id
WHERE b.id = any(:booking_ids::bigint[])
ORDER BY b.id;

-- name: list_events
-- Reads the ledger rows of some bookings.
-- Searches by slot, because the ledger has no index by booking; and each slot only once, even for several bookings.
SELECT e.booking_id, e.sequence, e.kind, e.seats, e.actor, e.created_at
FROM booking_events AS e
WHERE
    e.slot_id IN (SELECT b.slot_id FROM bookings AS b WHERE b.id = any(:booking_ids::bigint[]))
    AND e.booking_id IN (SELECT unnest(:booking_ids::bigint[]))
ORDER BY e.booking_id, e.sequence;

-- name: list_audit_of
-- Reads what was noted about some accounts and bookings.
SELECT a.subject, a.action, a.actor, a.details::text AS details, a.created_at
FROM audit_log AS a
WHERE a.subject = any(:subjects::text[])
ORDER BY a.id;

-- name: erase_personal_data
-- Erases a person from an account and bookings, in its own transaction.
SELECT e.outcome, e.cancelled
FROM erase_personal_data(
        user_id => :user_id::bigint,
        booking_ids => :booking_ids::bigint[],
        old_password_hash => :old_password_hash::text,
        attempts_hash => :attempts_hash::bytea,
        actor => :actor::text,
        request_id => :request_id::text
    ) AS e;
