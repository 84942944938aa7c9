-- name: get_ending
-- Reads why a booking was cancelled, if anybody said so, and how many events the ledger has of it.
SELECT
    b.cancel_reason,
    1
    + (b.expires_at IS NOT NULL AND b.confirmed_at IS NOT NULL)::integer
    + (b.status IN ('CANCELLED', 'FAILED'))::integer AS events
FROM bookings AS b
WHERE b.id = :booking_id::bigint;

-- name: list_cancel_reasons
-- Reads why some bookings were cancelled, of those for which somebody said so.
SELECT b.id AS booking_id, b.cancel_reason
FROM bookings AS b
WHERE b.id = any(:booking_ids::bigint[]) AND b.cancel_reason IS NOT NULL;

-- name: list_story
-- Lists what happened to a booking, and to its slot while the booking was live, in order; of the slot so much at most.
-- The ledger has no index by booking, and a slot's may have millions of rows. The order of their sequence is the order
-- of time too, so each moment at which the booking changed is found by halving. From there on the booking's event is
-- among the next few: those of one batch, or for a hold that ran out, those until the sweep. It is looked for among
-- 50,000 and no more. The limits of one only forbid reading the ledger for a join.
WITH RECURSIVE changed AS (
    SELECT b.id AS booking_id, b.slot_id, c.kind, c.changed_at, 1::bigint AS low, s.last_event AS high
    FROM bookings AS b
    INNER JOIN appointment_slots AS s ON b.slot_id = s.id
    CROSS JOIN
        LATERAL (
            VALUES
            (CASE WHEN b.expires_at IS NULL THEN 'BOOKED' ELSE 'HELD' END, b.created_at),
            ('CONFIRMED', CASE WHEN b.expires_at IS NOT NULL THEN b.confirmed_at END),
            ('CANCELLED', b.cancelled_at),
            ('EXPIRED', CASE WHEN b.status = 'FAILED' THEN b.expires_at END)
        ) AS c (kind, changed_at)
    WHERE b.id = :booking_id::bigint AND c.changed_at IS NOT NULL
    UNION ALL
    SELECT
        c.booking_id,
        c.slot_id,
        c.kind,
        c.changed_at,
        CASE WHEN e.created_at < c.changed_at THEN e.sequence + 1 ELSE c.low END,
        CASE WHEN e.created_at < c.changed_at THEN c.high ELSE e.sequence END
    FROM changed AS c
    CROSS JOIN
        LATERAL (
            SELECT e.sequence, e.created_at
            FROM booking_events AS e
            WHERE e.slot_id = c.slot_id AND e.sequence = (c.low + c.high) / 2
            ORDER BY e.sequence
            LIMIT 1
        ) AS e
    WHERE c.low < c.high
),

own AS (
    SELECT e.slot_id, e.sequence
    FROM changed AS c
    CROSS JOIN
        LATERAL (
            SELECT n.slot_id, n.sequence
            FROM (
                SELECT e.slot_id, e.sequence, e.kind, e.booking_id
                FROM booking_events AS e
                WHERE e.slot_id <= c.slot_id AND (e.slot_id, e.sequence) >= (c.slot_id, c.low)
                ORDER BY e.slot_id, e.sequence
                LIMIT 50000
            ) AS n
            WHERE n.booking_id = c.booking_id AND n.kind = c.kind
            ORDER BY n.slot_id, n.sequence
            LIMIT 1
        ) AS e
    WHERE c.low = c.high
),

of_slot AS (
    SELECT e.slot_id, e.sequence
    FROM bookings AS b
    CROSS JOIN
        LATERAL (
            SELECT e.slot_id, e.sequence
            FROM booking_events AS e
            WHERE
                e.slot_id = b.slot_id
                AND e.booking_id IS NULL
                AND e.kind <> 'CREATED'
                AND e.created_at >= b.created_at
                AND e.created_at <= CASE b.status
                    WHEN 'CANCELLED' THEN b.cancelled_at
                    WHEN 'CONFIRMED' THEN 'infinity'
                    ELSE b.expires_at
                END
            ORDER BY e.created_at, e.sequence
            LIMIT :most_of_slot::integer
        ) AS e
    WHERE b.id = :booking_id::bigint
),

story AS (
    SELECT o.slot_id, o.sequence FROM own AS o
    UNION ALL
    SELECT o.slot_id, o.sequence FROM of_slot AS o
)

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
FROM story AS s
CROSS JOIN
    LATERAL (
        SELECT e.sequence, e.kind, e.booking_id, e.seats, e.available_after, e.total_after, e.actor, e.created_at
        FROM booking_events AS e
        WHERE e.slot_id = s.slot_id AND e.sequence = s.sequence
        ORDER BY e.sequence
        LIMIT 1
    ) AS e
ORDER BY e.sequence;

-- name: list_doctors_of_day
-- Lists the doctors who have a slot in a period, open or closed, by name.
-- One by one through the index: joined, the planner would sooner read all slots.
SELECT d.id, d.name
FROM doctors AS d
CROSS JOIN
    LATERAL (
        SELECT s.id
        FROM appointment_slots AS s
        WHERE
            s.doctor_id = d.id
            AND s.start_time >= :starts_from::timestamptz
            AND s.start_time < :starts_before::timestamptz
        ORDER BY s.start_time, s.id
        LIMIT 1
    ) AS s
ORDER BY lower(d.name), d.id
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
-- Lists who has seats in some slots, by their start, oldest first within each.
-- Holds by their own index. Who is confirmed is looked for among all bookings of a slot, and most of those may have run
-- out: until as many are found as seats are taken, and no further than a slot's part of `looked_at`.
-- A row is compared where `=` would do, for the reason given with `list_bookings_of_slots`.
WITH taken AS MATERIALIZED (
    SELECT s.id, s.start_time, s.total_seats - s.available_seats AS seats
    FROM appointment_slots AS s
    WHERE s.id = any(:slot_ids::bigint[]) AND s.available_seats < s.total_seats
),

quota AS (
    SELECT :looked_at::integer / greatest(count(*), 1) AS bookings FROM taken
),

live AS (
    SELECT t.start_time, c.slot_id, c.id
    FROM taken AS t
    CROSS JOIN
        LATERAL (
            SELECT l.slot_id, l.id
            FROM (
                SELECT b.slot_id, b.id, b.status
                FROM bookings AS b
                WHERE b.slot_id <= t.id AND (b.slot_id, b.id) > (t.id, 0)
                ORDER BY b.slot_id, b.id
                LIMIT (SELECT q.bookings FROM quota AS q)
            ) AS l
            WHERE l.status = 'CONFIRMED'
            ORDER BY l.slot_id, l.id
            LIMIT least(t.seats, :limit::integer)
        ) AS c
    UNION ALL
    SELECT t.start_time, t.id, h.id
    FROM taken AS t
    CROSS JOIN LATERAL (
        SELECT b.id
        FROM bookings AS b
        WHERE b.slot_id = t.id AND b.status = 'PENDING' AND b.expires_at > now()
        ORDER BY b.expires_at
        LIMIT least((SELECT q.bookings FROM quota AS q), :limit::integer)
    ) AS h
),

page AS (
    SELECT l.id FROM live AS l
    ORDER BY l.start_time, l.slot_id, l.id
    LIMIT :limit::integer
)

SELECT
    b.id, b.slot_id, b.user_id, b.user_name, b.user_email, b.seats_booked, b.status, b.expires_at, b.confirmed_at,
    b.cancelled_at, b.created_at, b.updated_at, b.doctor_id, b.doctor_name, b.specialization, b.start_time, b.end_time
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.start_time, b.slot_id, b.id;
