-- name: lock_slots
-- Takes the locks of a batch, in id order.
-- Two batches that want slots {1, 2} and {2, 1} would each hold one and wait for the other; in id order the
-- second waits before it holds anything. NO KEY: other bookings' foreign-key checks need not wait for us.
SELECT s.id
FROM appointment_slots AS s
WHERE s.id = any(:slot_ids::bigint[])
ORDER BY s.id
FOR NO KEY UPDATE;

-- name: lock_slots_of_bookings
-- Takes the locks of the slots that some bookings belong to, in id order. A booking never changes its slot.
SELECT s.id
FROM appointment_slots AS s
WHERE s.id IN (SELECT b.slot_id FROM bookings AS b WHERE b.id = any(:booking_ids::bigint[]))
ORDER BY s.id
FOR NO KEY UPDATE;

-- name: lock_overdue_slots
-- Takes the locks of slots that have overdue holds, as many as one sweep does at a time.
-- SKIP LOCKED: a sweep waits for nobody. A booking that holds the lock expires the slot's overdue holds itself, and
-- what another holder leaves is found by the next sweep.
SELECT s.id
FROM appointment_slots AS s
WHERE s.id IN (
        SELECT b.slot_id FROM bookings AS b
        WHERE b.status = 'PENDING' AND b.expires_at <= (SELECT clock_timestamp())
        ORDER BY b.expires_at
        LIMIT :limit::integer
    )
ORDER BY s.id
FOR NO KEY UPDATE SKIP LOCKED;

-- name: expire_holds
-- Fails the overdue holds of locked slots and gives their seats back.
-- The locks were taken by a statement before this one: only so are the bookings read as they are now, and the
-- clock read after the wait. A scalar subquery, because an index cannot be searched by a volatile function.
WITH overdue AS (
    UPDATE bookings AS b
    SET status = 'FAILED', updated_at = clock_timestamp()
    WHERE
        b.slot_id = any(:slot_ids::bigint[])
        AND b.status = 'PENDING'
        AND b.expires_at <= (SELECT clock_timestamp())
    RETURNING b.id, b.slot_id, b.seats_booked
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT
        o.slot_id,
        s.last_event + row_number() OVER in_order,
        'EXPIRED',
        o.id,
        o.seats_booked,
        s.available_seats + sum(o.seats_booked) OVER in_order,
        s.total_seats,
        :actor::text,
        clock_timestamp()
    FROM overdue AS o
    INNER JOIN appointment_slots AS s ON o.slot_id = s.id
    WINDOW in_order AS (PARTITION BY o.slot_id ORDER BY o.id)
),

freed AS (
    SELECT o.slot_id, sum(o.seats_booked)::integer AS seats, count(*)::integer AS holds
    FROM overdue AS o
    GROUP BY o.slot_id
)

UPDATE appointment_slots AS s
SET
    available_seats = s.available_seats + f.seats,
    last_event = s.last_event + f.holds,
    updated_at = clock_timestamp()
FROM freed AS f
WHERE s.id = f.slot_id
RETURNING s.id AS slot_id, f.holds;

-- name: read_locked_slots
-- Tells what a batch must know of the slots it has locked, and the time by the database's clock.
-- In a statement after the lock: one that waits for a lock reads every other table as it was before the wait.
SELECT
    s.id,
    s.doctor_id,
    d.name AS doctor_name,
    d.specialization,
    s.start_time,
    s.end_time,
    s.available_seats,
    s.status,
    d.active AS doctor_active,
    exists(
        SELECT 1 FROM bookings AS b
        WHERE b.slot_id = s.id AND b.status = 'PENDING' AND b.expires_at <= (SELECT clock_timestamp())
    ) AS has_overdue_holds,
    clock_timestamp() AS now
FROM appointment_slots AS s
INNER JOIN doctors AS d ON s.doctor_id = d.id
WHERE s.id = any(:slot_ids::bigint[]);

-- name: hold_seats
-- Writes the admitted requests of a batch: bookings, ledger rows and the slots' seats, as sets.
-- Ids are drawn first, because RETURNING cannot tell which request a row came from.
WITH wanted AS MATERIALIZED (
    SELECT
        w.*,
        nextval('bookings_id_seq') AS id,
        clock.now,
        CASE WHEN w.confirmed THEN NULL ELSE clock.now + make_interval(secs => :hold_seconds::integer) END AS expires_at
    FROM unnest(
            :slot_ids::bigint[],
            :user_ids::bigint[],
            :user_names::text[],
            :user_emails::text[],
            :seats::integer[],
            :confirmed::boolean[],
            :manage_token_hashes::bytea[],
            :actors::text[]
        ) WITH ORDINALITY AS w (
            slot_id, user_id, user_name, user_email, seats, confirmed, manage_token_hash, actor, position
        )
    CROSS JOIN (SELECT clock_timestamp() AS now) AS clock
),

written AS (
    INSERT INTO bookings (
        id, slot_id, user_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at,
        manage_token_hash, created_at, updated_at
    )
    SELECT
        w.id,
        w.slot_id,
        w.user_id,
        w.user_name,
        w.user_email,
        w.seats,
        CASE WHEN w.confirmed THEN 'CONFIRMED' ELSE 'PENDING' END,
        w.expires_at,
        CASE WHEN w.confirmed THEN w.now END,
        w.manage_token_hash,
        w.now,
        w.now
    FROM wanted AS w
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT
        w.slot_id,
        s.last_event + row_number() OVER in_order,
        CASE WHEN w.confirmed THEN 'BOOKED' ELSE 'HELD' END,
        w.id,
        w.seats,
        s.available_seats - sum(w.seats) OVER in_order,
        s.total_seats,
        w.actor,
        w.now
    FROM wanted AS w
    INNER JOIN appointment_slots AS s ON w.slot_id = s.id
    WINDOW in_order AS (PARTITION BY w.slot_id ORDER BY w.position)
),

taken AS (
    SELECT w.slot_id, sum(w.seats)::integer AS seats, count(*) AS events, max(w.now) AS now
    FROM wanted AS w
    GROUP BY w.slot_id
),

slots AS (
    UPDATE appointment_slots AS s
    SET available_seats = s.available_seats - t.seats, last_event = s.last_event + t.events, updated_at = t.now
    FROM taken AS t
    WHERE s.id = t.slot_id
)

SELECT w.id, w.now, w.expires_at
FROM wanted AS w
ORDER BY w.position;

-- name: confirm_bookings
-- Confirms the live holds of a batch and says what became of each request. The slots' locks are held.
-- A hold is compared with the clock here and not in the locking statement, whose clock may be as old as its wait.
WITH wanted AS MATERIALIZED (
    SELECT
        w.position,
        w.booking_id,
        w.actor,
        b.slot_id,
        b.seats_booked,
        coalesce(b.user_name, w.user_name) AS user_name,
        coalesce(b.user_email, w.user_email) AS user_email,
        clock.now,
        CASE
            WHEN b.id IS NULL THEN 'not_found'
            WHEN b.status = 'CONFIRMED' THEN 'already_confirmed'
            WHEN b.status = 'CANCELLED' THEN 'cancelled'
            WHEN b.status = 'FAILED' OR b.expires_at <= clock.now THEN 'expired'
            WHEN coalesce(b.user_name, w.user_name) IS NULL THEN 'name_missing'
            WHEN coalesce(b.user_email, w.user_email) IS NULL THEN 'email_missing'
            ELSE 'confirmed'
        END AS outcome
    FROM unnest(
            :booking_ids::bigint[], :user_names::text[], :user_emails::text[], :actors::text[]
        ) WITH ORDINALITY AS w (booking_id, user_name, user_email, actor, position)
    CROSS JOIN (SELECT clock_timestamp() AS now) AS clock
    LEFT JOIN bookings AS b ON w.booking_id = b.id
),

written AS (
    UPDATE bookings AS b
    SET
        status = 'CONFIRMED',
        confirmed_at = w.now,
        user_name = w.user_name,
        user_email = w.user_email,
        updated_at = w.now
    FROM wanted AS w
    WHERE b.id = w.booking_id AND w.outcome = 'confirmed'
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT
        w.slot_id,
        s.last_event + row_number() OVER in_order,
        'CONFIRMED',
        w.booking_id,
        w.seats_booked,
        s.available_seats,
        s.total_seats,
        w.actor,
        w.now
    FROM wanted AS w
    INNER JOIN appointment_slots AS s ON w.slot_id = s.id
    WHERE w.outcome = 'confirmed'
    WINDOW in_order AS (PARTITION BY w.slot_id ORDER BY w.position)
),

slots AS (
    UPDATE appointment_slots AS s
    SET last_event = s.last_event + c.events
    FROM (SELECT w.slot_id, count(*) AS events FROM wanted AS w WHERE w.outcome = 'confirmed' GROUP BY w.slot_id) AS c
    WHERE s.id = c.slot_id
)

SELECT w.outcome
FROM wanted AS w
ORDER BY w.position;

-- name: cancel_bookings
-- Cancels the live bookings of a batch, gives their seats back and says what became of each request.
-- The slots' locks are held: cancel, expiry and confirm of one booking pass here one after the other, and only the
-- first finds it live, so its seats come back once.
WITH wanted AS MATERIALIZED (
    SELECT
        w.position,
        w.booking_id,
        w.reason,
        w.actor,
        b.slot_id,
        b.seats_booked,
        clock.now,
        CASE
            WHEN b.id IS NULL THEN 'not_found'
            WHEN b.status = 'CANCELLED' THEN 'already_cancelled'
            WHEN b.status = 'FAILED' OR (b.status = 'PENDING' AND b.expires_at <= clock.now) THEN 'failed'
            WHEN s.start_time <= clock.now THEN 'started'
            ELSE 'cancelled'
        END AS outcome
    FROM unnest(:booking_ids::bigint[], :reasons::text[], :actors::text[])
        WITH ORDINALITY AS w (booking_id, reason, actor, position)
    CROSS JOIN (SELECT clock_timestamp() AS now) AS clock
    LEFT JOIN bookings AS b ON w.booking_id = b.id
    LEFT JOIN appointment_slots AS s ON b.slot_id = s.id
),

written AS (
    UPDATE bookings AS b
    SET status = 'CANCELLED', cancelled_at = w.now, cancel_reason = w.reason, updated_at = w.now
    FROM wanted AS w
    WHERE b.id = w.booking_id AND w.outcome = 'cancelled'
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT
        w.slot_id,
        s.last_event + row_number() OVER in_order,
        'CANCELLED',
        w.booking_id,
        w.seats_booked,
        s.available_seats + sum(w.seats_booked) OVER in_order,
        s.total_seats,
        w.actor,
        w.now
    FROM wanted AS w
    INNER JOIN appointment_slots AS s ON w.slot_id = s.id
    WHERE w.outcome = 'cancelled'
    WINDOW in_order AS (PARTITION BY w.slot_id ORDER BY w.position)
),

freed AS (
    SELECT w.slot_id, sum(w.seats_booked)::integer AS seats, count(*) AS events, max(w.now) AS now
    FROM wanted AS w
    WHERE w.outcome = 'cancelled'
    GROUP BY w.slot_id
),

slots AS (
    UPDATE appointment_slots AS s
    SET available_seats = s.available_seats + f.seats, last_event = s.last_event + f.events, updated_at = f.now
    FROM freed AS f
    WHERE s.id = f.slot_id
)

SELECT w.outcome
FROM wanted AS w
ORDER BY w.position;

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
