-- name: read_stretch
-- Finds the end of the next stretch of slots with about `events` ledger rows, at least one slot; NULL if none is left.
SELECT max(t.id) AS last_slot, count(*)::integer AS slots
FROM (
    SELECT s.id, sum(s.last_event) OVER (ORDER BY s.id) - s.last_event AS events_before
    FROM (
        SELECT s.id, s.last_event
        FROM appointment_slots AS s
        WHERE s.id > :after_slot::bigint
        ORDER BY s.id
        LIMIT :slots::integer
    ) AS s
) AS t
WHERE t.events_before < :events::integer;

-- name: count_slots
-- Counts all slots, for a progress display.
SELECT count(*) AS slots
FROM appointment_slots;

-- name: find_broken_steps
-- S1: ledger rows whose seats are out of range or do not follow from the row before.
SELECT
    t.slot_id,
    t.sequence,
    t.booking_id,
    format('%s leaves %s of %s seats free', t.kind, t.available_after, t.total_after) AS found,
    format(
        '%s of %s after a row with %s of %s', t.available_expected, t.total_expected, t.available_before, t.total_before
    ) AS expected
FROM (
    SELECT
        e.slot_id,
        e.sequence,
        e.booking_id,
        e.kind,
        e.available_after,
        e.total_after,
        e.available_before,
        e.total_before,
        CASE WHEN e.kind = 'RESIZED' THEN e.seats ELSE e.total_before END AS total_expected,
        e.available_before
        + CASE
            WHEN e.kind IN ('HELD', 'BOOKED') THEN -e.seats
            WHEN e.kind IN ('EXPIRED', 'CANCELLED') THEN e.seats
            WHEN e.kind = 'RESIZED' THEN e.seats - e.total_before
            ELSE 0
        END AS available_expected
    FROM (
        SELECT
            e.slot_id,
            e.sequence,
            e.booking_id,
            e.kind,
            e.seats,
            e.available_after,
            e.total_after,
            lag(e.available_after) OVER in_order AS available_before,
            lag(e.total_after) OVER in_order AS total_before
        FROM booking_events AS e
        WHERE e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
        WINDOW in_order AS (PARTITION BY e.slot_id ORDER BY e.sequence)
    ) AS e
) AS t
WHERE
    t.available_after < 0
    OR t.available_after > t.total_after
    OR t.available_after <> t.available_expected
    OR t.total_after <> t.total_expected
ORDER BY t.slot_id, t.sequence
LIMIT :limit::integer;

-- name: find_slots_beside_their_ledger
-- S1: slots whose counters differ from their newest ledger row.
SELECT
    s.id AS slot_id,
    e.sequence,
    e.booking_id,
    format('the slot has %s of %s seats free', s.available_seats, s.total_seats) AS found,
    format('%s of %s, as its newest ledger row says', e.available_after, e.total_after) AS expected
FROM appointment_slots AS s
INNER JOIN booking_events AS e ON s.id = e.slot_id AND s.last_event = e.sequence
WHERE
    s.id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND (s.available_seats <> e.available_after OR s.total_seats <> e.total_after)
ORDER BY s.id
LIMIT :limit::integer;

-- name: find_unbalanced_slots
-- S1: slots whose counter is out of range or differs from their live bookings.
SELECT
    s.id AS slot_id,
    s.last_event AS sequence,
    NULL::bigint AS booking_id,
    format('the slot has %s of %s seats free', s.available_seats, s.total_seats) AS found,
    format('%s, as its live bookings have %s', s.total_seats - coalesce(live.seats, 0), coalesce(live.seats, 0))
        AS expected
FROM appointment_slots AS s
LEFT JOIN (
    SELECT b.slot_id, sum(b.seats_booked) AS seats
    FROM bookings AS b
    WHERE b.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint AND b.status IN ('PENDING', 'CONFIRMED')
    GROUP BY b.slot_id
) AS live ON s.id = live.slot_id
WHERE
    s.id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND (
        s.available_seats < 0
        OR s.available_seats > s.total_seats
        OR s.total_seats <> s.available_seats + coalesce(live.seats, 0)
    )
ORDER BY s.id
LIMIT :limit::integer;

-- name: find_oversold_instants
-- S2: instants at which more seats were granted than there were, from the periods in which each booking had seats.
-- It reads no counter. A booking has its seats from a grant to the next release, however many seats that row names, so
-- seats that are given back twice count once. Totals come from the rows that set them.
SELECT
    t.slot_id,
    t.sequence,
    t.booking_id,
    format('%s seats are granted', t.granted) AS found,
    format('at most %s, the total then', t.total) AS expected
FROM (
    SELECT
        c.slot_id,
        c.sequence,
        c.booking_id,
        sum(c.seats) OVER in_order AS granted,
        sum(c.total) OVER in_order AS total
    FROM (
        SELECT
            b.slot_id,
            b.sequence,
            b.booking_id,
            CASE
                WHEN b.grants AND b.granted_before IS NOT TRUE THEN b.seats
                WHEN NOT b.grants AND b.granted_before THEN -b.seats_before
                ELSE 0
            END AS seats,
            0 AS total
        FROM (
            SELECT
                e.slot_id,
                e.sequence,
                e.booking_id,
                e.seats,
                e.grants,
                lag(e.seats) OVER in_order AS seats_before,
                lag(e.grants) OVER in_order AS granted_before
            FROM (
                SELECT e.slot_id, e.sequence, e.booking_id, e.seats, e.kind IN ('HELD', 'BOOKED') AS grants
                FROM booking_events AS e
                WHERE
                    e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
                    AND e.kind IN ('HELD', 'BOOKED', 'EXPIRED', 'CANCELLED')
            ) AS e
            WINDOW in_order AS (PARTITION BY e.slot_id, e.booking_id ORDER BY e.sequence)
        ) AS b
        UNION ALL
        SELECT
            e.slot_id,
            e.sequence,
            NULL AS booking_id,
            0 AS seats,
            e.seats - coalesce(lag(e.seats) OVER (PARTITION BY e.slot_id ORDER BY e.sequence), 0) AS total
        FROM booking_events AS e
        WHERE
            e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
            AND e.kind IN ('CREATED', 'RESIZED')
    ) AS c
    WINDOW in_order AS (PARTITION BY c.slot_id ORDER BY c.sequence)
) AS t
WHERE t.granted > t.total
ORDER BY t.slot_id, t.sequence
LIMIT :limit::integer;

-- name: find_illegal_transitions
-- S7: ledger rows that may not come after the booking's row before.
-- A booking is held or booked first, confirmed only when held, and nothing comes after its release.
SELECT
    t.slot_id,
    t.sequence,
    t.booking_id,
    t.kind AS found,
    CASE t.previous
        WHEN '' THEN 'HELD or BOOKED first'
        WHEN 'HELD' THEN 'CONFIRMED, EXPIRED or CANCELLED after HELD'
        WHEN 'EXPIRED' THEN 'nothing after EXPIRED'
        WHEN 'CANCELLED' THEN 'nothing after CANCELLED'
        ELSE format('CANCELLED after %s', t.previous)
    END AS expected
FROM (
    SELECT
        e.slot_id,
        e.sequence,
        e.booking_id,
        e.kind,
        coalesce(lag(e.kind) OVER (PARTITION BY e.slot_id, e.booking_id ORDER BY e.sequence), '') AS previous
    FROM booking_events AS e
    WHERE e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint AND e.booking_id IS NOT NULL
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

-- name: find_status_mismatches
-- S7: bookings whose status differs from their newest ledger row.
SELECT
    b.slot_id,
    newest.sequence,
    b.id AS booking_id,
    format('the booking is %s', b.status) AS found,
    coalesce(
        CASE newest.kind
            WHEN 'HELD' THEN 'PENDING, as it was HELD'
            WHEN 'EXPIRED' THEN 'FAILED, as it EXPIRED'
            WHEN 'CANCELLED' THEN 'CANCELLED, as the ledger says'
            WHEN 'CONFIRMED' THEN 'CONFIRMED, as it was CONFIRMED'
            WHEN 'BOOKED' THEN 'CONFIRMED, as it was BOOKED'
        END,
        'a ledger row that made it'
    ) AS expected
FROM bookings AS b
LEFT JOIN (
    SELECT DISTINCT ON (e.slot_id, e.booking_id) e.slot_id, e.booking_id, e.sequence, e.kind
    FROM booking_events AS e
    WHERE e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint AND e.booking_id IS NOT NULL
    ORDER BY e.slot_id ASC, e.booking_id ASC, e.sequence DESC
) AS newest ON b.slot_id = newest.slot_id AND b.id = newest.booking_id
WHERE
    b.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND (b.status, coalesce(newest.kind, '')) NOT IN (
        ('PENDING', 'HELD'),
        ('CONFIRMED', 'CONFIRMED'),
        ('CONFIRMED', 'BOOKED'),
        ('FAILED', 'EXPIRED'),
        ('CANCELLED', 'CANCELLED')
    )
ORDER BY b.slot_id, b.id
LIMIT :limit::integer;

-- name: find_late_confirmations
-- S8: holds that were confirmed at or after their deadline.
SELECT
    e.slot_id,
    e.sequence,
    e.booking_id,
    format('confirmed at %s', e.created_at) AS found,
    format('before its deadline, %s', b.expires_at) AS expected
FROM booking_events AS e
INNER JOIN bookings AS b ON e.booking_id = b.id AND e.slot_id = b.slot_id
WHERE
    e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND b.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND e.kind = 'CONFIRMED'
    AND e.created_at >= b.expires_at
ORDER BY e.slot_id, e.sequence
LIMIT :limit::integer;

-- name: find_early_expiries
-- S9: holds that were expired before their deadline.
SELECT
    e.slot_id,
    e.sequence,
    e.booking_id,
    format('expired at %s', e.created_at) AS found,
    format('not before its deadline, %s', b.expires_at) AS expected
FROM booking_events AS e
INNER JOIN bookings AS b ON e.booking_id = b.id AND e.slot_id = b.slot_id
WHERE
    e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND b.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND e.kind = 'EXPIRED'
    AND (e.created_at < b.expires_at) IS NOT FALSE
ORDER BY e.slot_id, e.sequence
LIMIT :limit::integer;

-- name: find_wrong_releases
-- S10: bookings whose seats came back more than once, or more or fewer of them than were taken.
SELECT
    t.slot_id,
    t.sequence,
    t.booking_id,
    format('%s seats came back in %s releases', t.seats_released, t.releases) AS found,
    format('%s seats, once', t.seats_taken) AS expected
FROM (
    SELECT
        e.slot_id,
        e.booking_id,
        max(e.sequence) FILTER (WHERE e.kind IN ('EXPIRED', 'CANCELLED')) AS sequence,
        count(*) FILTER (WHERE e.kind IN ('EXPIRED', 'CANCELLED')) AS releases,
        coalesce(sum(e.seats) FILTER (WHERE e.kind IN ('EXPIRED', 'CANCELLED')), 0) AS seats_released,
        coalesce(sum(e.seats) FILTER (WHERE e.kind IN ('HELD', 'BOOKED')), 0) AS seats_taken
    FROM booking_events AS e
    WHERE e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint AND e.booking_id IS NOT NULL
    GROUP BY e.slot_id, e.booking_id
) AS t
WHERE t.releases > 1 OR (t.releases = 1 AND t.seats_released <> t.seats_taken)
ORDER BY t.slot_id, t.sequence
LIMIT :limit::integer;

-- name: find_double_visits
-- S22: visits ahead of one doctor that overlap, buffers included, computed from bookings and their types: from the
-- start of the slot to its end and the largest buffer of its live bookings. Visits of one slot take place together. A
-- drifted slot is listed for a person already, and its type may have become longer since: there, only the visits
-- themselves count.
SELECT
    v.slot_id,
    s.last_event AS sequence,
    o.booking_id,
    format('doctor %s has a visit until %s, and one in slot %s from %s', s.doctor_id, v.busy_until, o.id, o.start_time)
        AS found,
    'one visit of a doctor at a time, with its buffer' AS expected
FROM (
    SELECT
        b.slot_id,
        max(f.end_time + make_interval(mins => CASE WHEN f.drifted THEN 0 ELSE coalesce(t.buffer_minutes, 0) END))
            AS busy_until
    FROM appointment_slots AS f
    INNER JOIN bookings AS b ON f.id = b.slot_id
    LEFT JOIN visit_types AS t ON b.visit_type_id = t.id
    WHERE
        f.id BETWEEN :first_slot::bigint AND :last_slot::bigint
        AND b.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
        AND f.start_time > now()
        AND f.available_seats < f.total_seats
        AND (b.status = 'CONFIRMED' OR (b.status = 'PENDING' AND b.expires_at > now()))
    GROUP BY b.slot_id
) AS v
INNER JOIN appointment_slots AS s ON v.slot_id = s.id
CROSS JOIN
    LATERAL (
        SELECT n.id, n.start_time, l.booking_id
        FROM (
            SELECT a.id, a.start_time
            FROM appointment_slots AS a
            WHERE
                a.doctor_id = s.doctor_id
                AND a.start_time >= s.start_time
                AND a.start_time < v.busy_until
                AND (a.start_time, a.id) > (s.start_time, s.id)
                AND a.available_seats < a.total_seats
            ORDER BY a.start_time, a.id
            LIMIT 2147483647
        ) AS n
        CROSS JOIN
            LATERAL (
                SELECT c.id AS booking_id
                FROM bookings AS c
                WHERE
                    c.slot_id <= n.id
                    AND (c.slot_id, c.id) > (n.id, 0)
                    AND (c.status = 'CONFIRMED' OR (c.status = 'PENDING' AND c.expires_at > now()))
                ORDER BY c.slot_id, c.id
                LIMIT 1
            ) AS l
        ORDER BY n.start_time, n.id
        LIMIT 1
    ) AS o
ORDER BY v.slot_id
LIMIT :limit::integer;

-- name: find_short_buffers
-- S22: live bookings ahead whose slot takes the doctor's time for less than the buffer of their type. Then another slot
-- may come into it. A drifted slot is listed for a person already.
SELECT
    s.id AS slot_id,
    s.last_event AS sequence,
    b.id AS booking_id,
    format('the slot takes the doctor until %s', coalesce(s.busy_until, s.end_time)) AS found,
    format(
        '%s, with the %s minutes of visit type %s', s.end_time + make_interval(mins => t.buffer_minutes),
        t.buffer_minutes, t.id
    ) AS expected
FROM appointment_slots AS s
INNER JOIN bookings AS b ON s.id = b.slot_id
INNER JOIN visit_types AS t ON b.visit_type_id = t.id
WHERE
    s.id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND b.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND s.start_time > now()
    AND s.available_seats < s.total_seats
    AND NOT s.drifted
    AND (b.status = 'CONFIRMED' OR (b.status = 'PENDING' AND b.expires_at > now()))
    AND coalesce(s.busy_until, s.end_time) < s.end_time + make_interval(mins => t.buffer_minutes)
ORDER BY s.id, b.id
LIMIT :limit::integer;

-- name: find_open_slots_in_closures
-- S24: slots ahead that are open although a closure covers them. Publishing closes what people opened there within a
-- minute, so what changed in the last five minutes is not told.
SELECT
    s.id AS slot_id,
    s.last_event AS sequence,
    NULL::bigint AS booking_id,
    format('open from %s to %s', s.start_time, s.end_time) AS found,
    format('closed, as closure %s is from %s to %s', c.id, c.start_time, c.end_time) AS expected
FROM closures AS c
INNER JOIN appointment_slots AS s
    ON
        c.end_time > s.start_time
        AND c.start_time < s.end_time
        AND coalesce(c.doctor_id, s.doctor_id) = s.doctor_id
        AND coalesce(c.clinic_id, s.clinic_id) = s.clinic_id
WHERE
    c.removed_at IS NULL
    AND c.end_time > now()
    AND s.id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND s.status = 'OPEN'
    AND s.start_time > now()
    AND greatest(c.updated_at, s.updated_at) < now() - interval '5 minutes'
ORDER BY s.id, c.id
LIMIT :limit::integer;

-- name: find_hidden_bookings
-- S24: confirmed bookings ahead in closed slots of rules or of open time that no person closed, no closure in force
-- explains, and that are not marked as drifted: nobody would look for them.
SELECT
    s.id AS slot_id,
    s.last_event AS sequence,
    b.id AS booking_id,
    'confirmed in a closed slot that is not listed' AS found,
    'drifted, or closed by a closure in force' AS expected
FROM appointment_slots AS s
INNER JOIN bookings AS b ON s.id = b.slot_id
LEFT JOIN closures AS c ON s.closure_id = c.id AND c.removed_at IS NULL
WHERE
    s.id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND s.status = 'CLOSED'
    AND s.start_time > now()
    AND num_nonnulls(s.rule_id, s.window_id) > 0
    AND NOT s.pinned
    AND NOT s.drifted
    AND c.id IS NULL
    AND b.status = 'CONFIRMED'
ORDER BY s.id, b.id
LIMIT :limit::integer;

-- name: find_visits_outside_windows
-- S24: confirmed bookings ahead in open slots that were carved out of a window of their doctor, where no window is open
-- any more, and that no person has changed: such a slot is closed, and drifted.
SELECT
    s.id AS slot_id,
    s.last_event AS sequence,
    b.id AS booking_id,
    format('confirmed from %s to %s, where no window is open', s.start_time, s.end_time) AS found,
    'closed and drifted, or in an open window of its doctor and clinic' AS expected
FROM appointment_slots AS s
INNER JOIN windows AS v ON s.window_id = v.id AND s.doctor_id = v.doctor_id
INNER JOIN bookings AS b ON s.id = b.slot_id
WHERE
    s.id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND b.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND s.status = 'OPEN'
    AND s.start_time > now()
    AND NOT s.pinned
    AND NOT s.drifted
    AND b.status = 'CONFIRMED'
    AND NOT EXISTS (
        SELECT
        FROM windows AS o
        WHERE
            o.doctor_id = s.doctor_id
            AND o.clinic_id = s.clinic_id
            AND o.status = 'OPEN'
            AND tstzrange(o.start_time, o.end_time) @> tstzrange(s.start_time, s.end_time)
    )
ORDER BY s.id, b.id
LIMIT :limit::integer;

-- name: find_ledger_gaps
-- W1: ledger rows whose number does not follow the number of the row before.
SELECT
    t.slot_id,
    t.sequence,
    t.booking_id,
    format('row %s comes after row %s', t.sequence, t.previous) AS found,
    format('row %s', t.previous + 1) AS expected
FROM (
    SELECT
        e.slot_id,
        e.sequence,
        e.booking_id,
        lag(e.sequence, 1, 0::bigint) OVER (PARTITION BY e.slot_id ORDER BY e.sequence) AS previous
    FROM booking_events AS e
    WHERE e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
) AS t
WHERE t.sequence <> t.previous + 1
ORDER BY t.slot_id, t.sequence
LIMIT :limit::integer;

-- name: find_wrong_ends
-- W1: slots whose ledger does not end with the row that the slot records as its newest.
SELECT
    coalesce(s.id, e.slot_id) AS slot_id,
    e.sequence,
    NULL::bigint AS booking_id,
    format('the ledger ends with row %s', coalesce(e.sequence, 0)) AS found,
    coalesce('row ' || s.last_event || ', as the slot says', 'no row, as there is no such slot') AS expected
FROM (
    SELECT s.id, s.last_event
    FROM appointment_slots AS s
    WHERE s.id BETWEEN :first_slot::bigint AND :last_slot::bigint
) AS s
FULL JOIN (
    SELECT e.slot_id, max(e.sequence) AS sequence
    FROM booking_events AS e
    WHERE e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    GROUP BY e.slot_id
) AS e ON s.id = e.slot_id
WHERE s.last_event IS DISTINCT FROM e.sequence
ORDER BY coalesce(s.id, e.slot_id)
LIMIT :limit::integer;

-- name: find_wrong_beginnings
-- W2: first ledger rows that are not a creation with all seats free, and creations that are not the first row.
SELECT
    e.slot_id,
    e.sequence,
    e.booking_id,
    format('row %s is %s, with %s of %s seats free', e.sequence, e.kind, e.available_after, e.total_after) AS found,
    'CREATED as row 1 and no other, with all seats free' AS expected
FROM booking_events AS e
WHERE
    e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND (
        (e.sequence = 1) <> (e.kind = 'CREATED')
        OR (e.kind = 'CREATED' AND (e.available_after <> e.total_after OR e.seats <> e.total_after))
    )
ORDER BY e.slot_id, e.sequence
LIMIT :limit::integer;

-- name: find_backward_times
-- W3: ledger rows with an earlier time than the row before.
SELECT
    t.slot_id,
    t.sequence,
    t.booking_id,
    format('%s at %s', t.kind, t.created_at) AS found,
    format('not before the row before, at %s', t.previous) AS expected
FROM (
    SELECT
        e.slot_id,
        e.sequence,
        e.booking_id,
        e.kind,
        e.created_at,
        lag(e.created_at) OVER (PARTITION BY e.slot_id ORDER BY e.sequence) AS previous
    FROM booking_events AS e
    WHERE e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
) AS t
WHERE t.created_at < t.previous
ORDER BY t.slot_id, t.sequence
LIMIT :limit::integer;

-- name: find_stray_events
-- W4: ledger rows without a booking, or whose booking does not exist, is of another slot or has other seats.
SELECT
    e.slot_id,
    e.sequence,
    e.booking_id,
    CASE
        WHEN e.kind IN ('CREATED', 'RESIZED', 'CLOSED', 'REOPENED', 'MOVED') THEN format('%s names a booking', e.kind)
        WHEN e.booking_id IS NULL THEN format('%s names no booking', e.kind)
        ELSE format('%s %s seats of booking %s', e.kind, e.seats, e.booking_id)
    END AS found,
    CASE
        WHEN e.kind IN ('CREATED', 'RESIZED', 'CLOSED', 'REOPENED', 'MOVED') THEN 'none, as it is about the slot'
        WHEN e.booking_id IS NULL THEN 'the one it is about'
        WHEN b.id IS NULL THEN 'a booking that exists'
        ELSE format('the booking has %s seats of slot %s', b.seats_booked, b.slot_id)
    END AS expected
FROM booking_events AS e
LEFT JOIN bookings AS b ON e.booking_id = b.id
WHERE
    e.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND CASE
        WHEN e.kind IN ('CREATED', 'RESIZED', 'CLOSED', 'REOPENED', 'MOVED') THEN e.booking_id IS NOT NULL
        ELSE (e.slot_id, e.seats) IS DISTINCT FROM (b.slot_id, b.seats_booked)
    END
ORDER BY e.slot_id, e.sequence
LIMIT :limit::integer;

-- name: find_wrong_added_seats
-- W5: slots with other added seats than those of their confirmed bookings.
SELECT
    s.id AS slot_id,
    s.last_event AS sequence,
    NULL::bigint AS booking_id,
    format('%s of the seats count as added by overbooking', s.added_seats) AS found,
    format('%s, as its confirmed bookings say', coalesce(added.seats, 0)) AS expected
FROM appointment_slots AS s
LEFT JOIN (
    SELECT b.slot_id, sum(b.added_seats) AS seats
    FROM bookings AS b
    WHERE b.slot_id BETWEEN :first_slot::bigint AND :last_slot::bigint AND b.status = 'CONFIRMED'
    GROUP BY b.slot_id
) AS added ON s.id = added.slot_id
WHERE
    s.id BETWEEN :first_slot::bigint AND :last_slot::bigint
    AND s.added_seats <> coalesce(added.seats, 0)
ORDER BY s.id
LIMIT :limit::integer;

-- name: read_ledger
-- Reads some rows of one slot's ledger, oldest first.
SELECT e.sequence, e.kind, e.booking_id, e.seats, e.available_after, e.total_after, e.actor, e.created_at
FROM booking_events AS e
WHERE e.slot_id = :slot_id::bigint AND e.sequence BETWEEN :first_row::bigint AND :last_row::bigint
ORDER BY e.sequence
LIMIT :limit::integer;

-- name: read_slot
-- Reads the fields of a slot that its ledger is compared with.
SELECT s.id, s.start_time, s.total_seats, s.available_seats, s.status, s.last_event
FROM appointment_slots AS s
WHERE s.id = :slot_id::bigint;
