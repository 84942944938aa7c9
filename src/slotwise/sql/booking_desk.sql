-- name: get_cancel_reason
-- Reads why a booking was cancelled, if anybody said so.
SELECT b.cancel_reason
FROM bookings AS b
WHERE b.id = :booking_id::bigint;

-- name: list_story
-- Lists what happened to a booking, and to its slot while the booking was live, in order.
-- By slot, because the ledger has no index by booking.
SELECT
    e.sequence,
    e.kind,
    e.booking_id IS NULL AS of_slot,
    e.seats,
    e.available_after,
    e.total_after,
    e.actor,
    (
        SELECT u.name FROM users AS u
        WHERE u.id = CASE WHEN e.actor ~ '^user:[0-9]{1,18}$' THEN substr(e.actor, 6)::bigint END
    ) AS actor_name,
    e.created_at
FROM bookings AS b
INNER JOIN booking_events AS e ON b.slot_id = e.slot_id
WHERE
    b.id = :booking_id::bigint
    AND (
        e.booking_id = b.id
        OR (
            e.booking_id IS NULL
            AND e.created_at >= b.created_at
            AND e.created_at <= CASE b.status
                WHEN 'CANCELLED' THEN b.cancelled_at
                WHEN 'CONFIRMED' THEN 'infinity'
                ELSE b.expires_at
            END
        )
    )
ORDER BY e.sequence
LIMIT :limit::integer;

-- name: list_slots_of_day
-- Lists a doctor's slots of a period, by start.
SELECT s.id, s.start_time, s.end_time, s.total_seats, s.available_seats, s.status
FROM slots_now AS s
WHERE
    s.doctor_id = :doctor_id::bigint
    AND s.start_time >= :starts_from::timestamptz
    AND s.start_time < :starts_before::timestamptz
ORDER BY s.start_time, s.id
LIMIT :limit::integer;

-- name: list_bookings_of_day
-- Lists who has seats in some slots, oldest first within each; of no slot more than fit on a sheet.
-- A row is compared where `=` would do, for the reason given with `list_bookings_of_slots`.
SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM unnest(:slot_ids::bigint[]) AS s (id)
CROSS JOIN
    LATERAL (
        SELECT l.id FROM bookings AS l
        WHERE
            l.slot_id <= s.id
            AND (l.slot_id, l.id) > (s.id, 0)
            AND l.status IN ('PENDING', 'CONFIRMED')
        ORDER BY l.slot_id, l.id
        LIMIT 2001
    ) AS live
INNER JOIN bookings_now AS b ON live.id = b.id
WHERE b.status IN ('PENDING', 'CONFIRMED')
ORDER BY b.start_time, b.slot_id, b.id
LIMIT :limit::integer;
