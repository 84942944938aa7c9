-- name: find_unbalanced_slots
-- P1: slots whose counter is out of range or differs from their live bookings.
SELECT s.id AS slot_id, s.total_seats, s.available_seats, coalesce(live.seats, 0)::integer AS live_seats
FROM appointment_slots AS s
LEFT JOIN (
    SELECT b.slot_id, sum(b.seats_booked) AS seats
    FROM bookings AS b
    WHERE b.status IN ('PENDING', 'CONFIRMED')
    GROUP BY b.slot_id
) AS live ON s.id = live.slot_id
WHERE
    s.available_seats < 0
    OR s.available_seats > s.total_seats
    OR s.total_seats <> s.available_seats + coalesce(live.seats, 0)
ORDER BY s.id
LIMIT :limit::integer;

-- name: find_ledger_gaps
-- Slots whose ledger does not run 1, 2, 3, ... up to the slot's newest event.
SELECT s.id AS slot_id, s.last_event, count(e.sequence) AS events, coalesce(max(e.sequence), 0) AS newest
FROM appointment_slots AS s
LEFT JOIN booking_events AS e ON s.id = e.slot_id
GROUP BY s.id
HAVING count(e.sequence) <> s.last_event OR coalesce(max(e.sequence), 0) <> s.last_event
ORDER BY s.id
LIMIT :limit::integer;

-- name: find_illegal_transitions
-- Ledger rows that do not follow from the booking's row before: a booking is held or booked first, confirmed only
-- when held, and released once.
SELECT t.slot_id, t.sequence, t.booking_id, t.kind, t.previous
FROM (
    SELECT
        e.slot_id,
        e.sequence,
        e.booking_id,
        e.kind,
        coalesce(lag(e.kind) OVER (PARTITION BY e.slot_id, e.booking_id ORDER BY e.sequence), '') AS previous
    FROM booking_events AS e
    WHERE e.booking_id IS NOT NULL
) AS t
WHERE (t.previous, t.kind) NOT IN (
        ('', 'HELD'),
        ('', 'BOOKED'),
        ('HELD', 'CONFIRMED'),
        ('HELD', 'EXPIRED'),
        ('HELD', 'CANCELLED'),
        ('CONFIRMED', 'CANCELLED'),
        ('BOOKED', 'CANCELLED')
    )
ORDER BY t.slot_id, t.sequence
LIMIT :limit::integer;

-- name: find_unbalanced_events
-- Ledger rows whose free seats do not follow from the row before.
SELECT t.slot_id, t.sequence, t.kind, t.available_after, t.expected::integer AS expected
FROM (
    SELECT
        e.slot_id,
        e.sequence,
        e.kind,
        e.available_after,
        lag(e.available_after) OVER in_order
        + CASE
            WHEN e.kind IN ('HELD', 'BOOKED') THEN -e.seats
            WHEN e.kind IN ('EXPIRED', 'CANCELLED') THEN e.seats
            WHEN e.kind = 'RESIZED' THEN e.total_after - lag(e.total_after) OVER in_order
            ELSE 0
        END AS expected
    FROM booking_events AS e
    WINDOW in_order AS (PARTITION BY e.slot_id ORDER BY e.sequence)
) AS t
WHERE t.available_after <> t.expected
ORDER BY t.slot_id, t.sequence
LIMIT :limit::integer;

-- name: find_ledger_drift
-- Slots whose newest ledger row does not tell what the slot has now.
SELECT s.id AS slot_id, s.total_seats, e.total_after, s.available_seats, e.available_after
FROM appointment_slots AS s
INNER JOIN booking_events AS e ON s.id = e.slot_id AND s.last_event = e.sequence
WHERE s.available_seats <> e.available_after OR s.total_seats <> e.total_after
ORDER BY s.id
LIMIT :limit::integer;

-- name: find_untimely_events
-- Holds that the ledger confirmed at or after their deadline, or expired before it.
SELECT e.slot_id, e.sequence, e.kind, e.booking_id, e.created_at, b.expires_at
FROM booking_events AS e
INNER JOIN bookings AS b ON e.booking_id = b.id
WHERE
    (e.kind = 'CONFIRMED' AND e.created_at >= b.expires_at)
    OR (e.kind = 'EXPIRED' AND e.created_at < b.expires_at)
ORDER BY e.slot_id, e.sequence
LIMIT :limit::integer;

-- name: find_status_mismatches
-- Bookings whose status is not the one that their newest ledger row gave them.
-- One pass over the ledger, as for the other rules: an index by booking would be paid for by every booking.
SELECT b.id AS booking_id, b.slot_id, b.status, newest.kind
FROM bookings AS b
LEFT JOIN (
    SELECT DISTINCT ON (e.booking_id) e.booking_id, e.kind
    FROM booking_events AS e
    WHERE e.booking_id IS NOT NULL
    ORDER BY e.booking_id ASC, e.sequence DESC
) AS newest ON b.id = newest.booking_id
WHERE
    (b.status, coalesce(newest.kind, '')) NOT IN (
        ('PENDING', 'HELD'),
        ('CONFIRMED', 'CONFIRMED'),
        ('CONFIRMED', 'BOOKED'),
        ('FAILED', 'EXPIRED'),
        ('CANCELLED', 'CANCELLED')
    )
ORDER BY b.id
LIMIT :limit::integer;
