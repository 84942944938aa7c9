-- name: list_doctors_of_day
-- Lists the doctors who have a slot in a period, open or closed, or an open window, by name.
-- Here and below, at some clinics only, if these are given.
-- Looks them up doctor by doctor along the indexes, because the planner would read all slots for a join.
SELECT d.id, d.name
FROM doctors AS d
CROSS JOIN
    LATERAL (
        (
            SELECT s.id
            FROM slots_in_period(d.id, :starts_from::timestamptz, :starts_before::timestamptz) AS s
            WHERE :clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[])
            -- The last ones first: most of those before the period do not reach into it.
            ORDER BY s.start_time DESC, s.id DESC
            LIMIT 1
        )
        UNION ALL
        (
            SELECT v.id
            FROM windows AS v
            WHERE
                v.doctor_id = d.id
                AND v.status = 'OPEN'
                AND (v.doctor_id, v.start_time) > (d.id, :starts_from::timestamptz - interval '26 hours')
                AND (v.doctor_id, v.start_time) < (d.id, :starts_before::timestamptz)
                AND v.end_time > :starts_from::timestamptz
                AND (:clinic_ids::bigint[] IS NULL OR v.clinic_id = any(:clinic_ids::bigint[]))
            ORDER BY v.start_time DESC, v.id DESC
            LIMIT 1
        )
        LIMIT 1  -- noqa: AM09
    ) AS o
ORDER BY d.name_sort_key, d.id
LIMIT :limit::integer;

-- name: list_slots_of_day
-- Lists a doctor's slots of a period, by start. One that began before and ends in it comes first.
SELECT s.id, s.start_time, s.end_time, s.total_seats, s.available_seats, s.status, s.clinic_id, s.window_id
FROM slots_now AS s
WHERE
    s.id IN (
        SELECT p.id
        FROM slots_in_period(:doctor_id::bigint, :starts_from::timestamptz, :starts_before::timestamptz) AS p
        WHERE :clinic_ids::bigint[] IS NULL OR p.clinic_id = any(:clinic_ids::bigint[])
    )
ORDER BY s.start_time, s.id
LIMIT :limit::integer;

-- name: list_bookings_of_day
-- Lists the live bookings of some slots, by the slots' start, oldest first in each slot.
-- Live holds have their own index. Confirmed bookings are found among all bookings of a slot, most of which may be
-- expired holds: the walk ends when as many are found as seats are taken, and at the slot's share of `looked_at`.
-- It compares a row instead of using `=` for the reason given with `list_bookings_of_slots`.
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

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.start_time, b.slot_id, b.id;
