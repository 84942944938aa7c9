-- name: get_ending
-- Reads a booking's reasons of cancellation and of overbooking, if there are any, whether the patient asked the desk to
-- cancel it, and how many ledger rows the booking has.
SELECT
    b.cancel_reason,
    b.overbooking_reason,
    (
        SELECT count(*) > 0
        FROM audit_log AS a
        WHERE a.subject = 'booking:' || b.id AND a.action = 'note_patients_wish'
    ) AS patient_asked,
    1
    + (b.expires_at IS NOT NULL AND b.confirmed_at IS NOT NULL)::integer
    + (b.status IN ('CANCELLED', 'FAILED'))::integer AS events
FROM bookings AS b
WHERE b.id = :booking_id::bigint;

-- name: get_history
-- Lists the changes of a booking, and up to `most_of_slot` changes of its slot while the booking was live, in order.
-- The ledger has no index by booking, and a slot's ledger may have millions of rows. Its rows are in order of time, so
-- each time at which the booking changed is found by binary search. The booking's row is among the next few: the rows
-- of one batch or, for an expired hold, the rows until the sweep. At most 50,000 are searched.
-- The limits of 1 only keep the planner from reading the ledger for a join.
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

history AS (
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
FROM history AS s
CROSS JOIN
    LATERAL (
        SELECT e.sequence, e.kind, e.booking_id, e.seats, e.available_after, e.total_after, e.actor, e.created_at
        FROM booking_events AS e
        WHERE e.slot_id = s.slot_id AND e.sequence = s.sequence
        ORDER BY e.sequence
        LIMIT 1
    ) AS e
ORDER BY e.sequence;
