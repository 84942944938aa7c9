-- name: lock_doctors
-- Takes the locks of doctors whose slots are about to be added or moved, in id order.
-- Without them two transactions that add overlapping slots each wait for the other in the exclusion constraint, and
-- PostgreSQL has to break a deadlock before it can say which of the two overlaps.
SELECT d.id, clock_timestamp() AS now
FROM doctors AS d
WHERE d.id = any(:doctor_ids::bigint[])
ORDER BY d.id
FOR NO KEY UPDATE;

-- name: create_slots
-- Adds slots, each with the first row of its ledger. `slot_overlaps` refuses a doctor's overlapping open slots.
WITH wanted AS (
    SELECT w.*, nextval('appointment_slots_id_seq') AS id
    FROM unnest(
            :doctor_ids::bigint[], :start_times::timestamptz[], :end_times::timestamptz[], :total_seats::integer[]
        ) WITH ORDINALITY AS w (doctor_id, start_time, end_time, total_seats, position)
),

written AS (
    INSERT INTO appointment_slots (id, doctor_id, start_time, end_time, total_seats, available_seats)
    SELECT w.id, w.doctor_id, w.start_time, w.end_time, w.total_seats, w.total_seats
    FROM wanted AS w
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT w.id, 1, 'CREATED', NULL, w.total_seats, w.total_seats, w.total_seats, :actor::text, clock_timestamp()
    FROM wanted AS w
)

SELECT w.id
FROM wanted AS w
ORDER BY w.position;

-- name: get_slot
-- Reads a slot.
SELECT
    s.id, s.doctor_id, s.doctor_name, s.specialization, s.start_time, s.end_time, s.total_seats, s.available_seats,
    s.status, s.created_at, s.updated_at
FROM slots_now AS s
WHERE s.id = :slot_id::bigint;

-- name: list_slots
-- A page of the slots on offer: future, open, of an active doctor, with enough free seats; by start.
-- Two branches, so that each is one walk along an index: slots with a free seat, and the few whose seats are all
-- taken but some by a hold that has run out. The predicate is the one that `admit` applies under the lock.
WITH offered AS (
    (
        SELECT s.id
        FROM appointment_slots AS s
        INNER JOIN doctors AS d ON s.doctor_id = d.id
        WHERE
            s.status = 'OPEN'
            AND s.has_free_seat
            AND d.active
            AND s.start_time > now()
            AND (s.start_time, s.id) > (:after_time::timestamptz, :after_id::bigint)
            AND s.start_time >= :starts_from::timestamptz
            AND s.start_time < :starts_before::timestamptz
            AND s.available_seats >= :min_seats::integer
            AND (:doctor_id::bigint IS NULL OR s.doctor_id = :doctor_id::bigint)
            AND (:specialization::text IS NULL OR lower(d.specialization) = lower(:specialization::text))
        ORDER BY s.start_time, s.id
        LIMIT :limit::integer
    )
    UNION ALL
    (
        SELECT s.id
        FROM slots_now AS s
        WHERE
            s.id IN (SELECT b.slot_id FROM bookings AS b
                WHERE b.status = 'PENDING' AND b.expires_at AT TIME ZONE 'UTC' <= now() AT TIME ZONE 'UTC'
            )
            AND s.status = 'OPEN'
            AND s.doctor_active
            AND s.start_time > now()
            AND (s.start_time, s.id) > (:after_time::timestamptz, :after_id::bigint)
            AND s.start_time >= :starts_from::timestamptz
            AND s.start_time < :starts_before::timestamptz
            AND s.available_seats >= :min_seats::integer
            AND (:doctor_id::bigint IS NULL OR s.doctor_id = :doctor_id::bigint)
            AND (:specialization::text IS NULL OR lower(s.specialization) = lower(:specialization::text))
        ORDER BY s.start_time, s.id
        LIMIT :limit::integer
    )
)

SELECT
    s.id, s.doctor_id, s.doctor_name, s.specialization, s.start_time, s.end_time, s.total_seats, s.available_seats,
    s.status, s.created_at, s.updated_at
FROM slots_now AS s
WHERE s.id IN (SELECT o.id FROM offered AS o)
ORDER BY s.start_time, s.id
LIMIT :limit::integer;

-- name: lock_slot
-- Takes a slot's lock and reads it as it is under the lock.
SELECT s.id, s.start_time, s.end_time, s.total_seats, s.available_seats, s.status
FROM appointment_slots AS s
WHERE s.id = :slot_id::bigint
FOR NO KEY UPDATE;

-- name: update_slot
-- Writes a slot's new period, seats and status with its ledger rows; the lock is held.
WITH before AS (
    SELECT s.id, s.last_event, s.total_seats - s.available_seats AS taken
    FROM appointment_slots AS s
    WHERE s.id = :slot_id::bigint
),

events AS (
    SELECT e.kind, e.position
    FROM unnest(:kinds::text[]) WITH ORDINALITY AS e (kind, position)
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT
        b.id,
        b.last_event + e.position,
        e.kind,
        NULL,
        :total_seats::integer,
        :total_seats::integer - b.taken,
        :total_seats::integer,
        :actor::text,
        clock_timestamp()
    FROM before AS b
    CROSS JOIN events AS e
)

UPDATE appointment_slots AS s
SET
    start_time = :start_time::timestamptz,
    end_time = :end_time::timestamptz,
    total_seats = :total_seats::integer,
    available_seats = :total_seats::integer - b.taken,
    status = :status::text,
    last_event = s.last_event + cardinality(:kinds::text[]),
    updated_at = clock_timestamp()
FROM before AS b
WHERE s.id = b.id
RETURNING s.id;
