-- name: list_choosable_doctors
-- Doctors who take appointments, by name, of one specialization where one is given; and the chosen one, first.
-- Each row tells the time by the database's clock.
SELECT d.id, d.name, d.specialization, now() AS now
FROM doctors AS d
WHERE
    d.active
    AND (
        d.id = :doctor_id::bigint
        OR :specialization::text IS NULL
        OR lower(d.specialization) = lower(:specialization::text)
    )
ORDER BY d.id IS NOT DISTINCT FROM :doctor_id::bigint DESC, lower(d.name), d.id
LIMIT :limit::integer;

-- name: count_free_times
-- On each of some days, how many slots `hold_seats` would let in, up to a limit, and whether the count is whole.
-- Half-open days, by their place. The same two branches as in `list_slots_of_size`.
-- A count stops at its limit, and where it has looked at so many slots, with enough free seats or not: so a day of a
-- large clinic costs no more than one of a small one. The largest are looked at first, because they have room rather
-- than others. The last one looked at is passed on, whatever it has, to tell that there may be more.
WITH days AS (
    SELECT d.starts, d.ends, d.place
    FROM unnest(:days_from::timestamptz[], :days_to::timestamptz[]) WITH ORDINALITY AS d (starts, ends, place)
),

with_freed_seats AS (
    SELECT d.place, count(*)::integer AS times
    FROM days AS d
    INNER JOIN overdue_slots AS s ON d.starts <= s.start_time AND d.ends > s.start_time
    WHERE
        s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
    GROUP BY d.place
),

with_free_seats AS (
    SELECT d.place, counted.times, counted.whole
    FROM days AS d
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE s.fits)::integer AS times,
            bool_or(s.number = :most_looked_at::integer) IS NOT TRUE AS whole
        FROM (
            SELECT s.fits, s.number
            FROM (
                SELECT s.available_seats >= :min_seats::integer AS fits, row_number() OVER () AS number
                FROM (
                    SELECT s.available_seats
                    FROM generate_series(8, seats_class(:min_seats::integer), -1) AS size (class)
                    CROSS JOIN
                        LATERAL (
                            SELECT s.available_seats
                            FROM open_slots AS s
                            WHERE
                                seats_class(s.total_seats) = size.class
                                AND s.has_free_seat
                                AND s.start_time >= greatest(d.starts, now() + interval '1 microsecond')
                                AND s.start_time < d.ends
                            ORDER BY s.start_time, s.id
                            LIMIT :most_looked_at::integer
                        ) AS s
                    LIMIT :most_looked_at::integer  -- noqa: AM09
                ) AS s
            ) AS s
            WHERE s.fits OR s.number = :most_looked_at::integer
            -- In no order: whichever they are, they are as many.
            LIMIT :limit::integer  -- noqa: AM09
        ) AS s
    ) AS counted
)

SELECT
    c.place,
    least(c.times + coalesce(f.times, 0), :limit::integer) AS times,
    c.whole AND c.times + coalesce(f.times, 0) < :limit::integer AS whole
FROM with_free_seats AS c
LEFT JOIN with_freed_seats AS f ON c.place = f.place
ORDER BY c.place;

-- name: count_free_times_of_doctors
-- The same of one doctor's slots, or of one specialization's; a filter that is null does not filter.
WITH days AS (
    SELECT d.starts, d.ends, d.place
    FROM unnest(:days_from::timestamptz[], :days_to::timestamptz[]) WITH ORDINALITY AS d (starts, ends, place)
),

theirs AS MATERIALIZED (
    SELECT d.id
    FROM doctors AS d
    WHERE
        d.active
        AND (:doctor_id::bigint IS NULL OR d.id = :doctor_id::bigint)
        AND (:specialization::text IS NULL OR lower(d.specialization) = lower(:specialization::text))
),

with_freed_seats AS (
    SELECT d.place, count(*)::integer AS times
    FROM days AS d
    INNER JOIN overdue_slots AS s ON d.starts <= s.start_time AND d.ends > s.start_time
    WHERE
        s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND s.doctor_id IN (SELECT t.id FROM theirs AS t)
    GROUP BY d.place
),

with_free_seats AS (
    SELECT d.place, counted.times, counted.whole
    FROM days AS d
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE s.fits)::integer AS times,
            bool_or(s.number = :most_looked_at::integer) IS NOT TRUE AS whole
        FROM (
            SELECT s.fits, s.number
            FROM (
                SELECT s.available_seats >= :min_seats::integer AS fits, row_number() OVER () AS number
                FROM (
                    SELECT s.available_seats
                    FROM theirs AS t
                    CROSS JOIN
                        LATERAL (
                            SELECT s.available_seats
                            FROM open_slots AS s
                            WHERE
                                s.doctor_id = t.id
                                AND s.has_free_seat
                                AND s.start_time >= greatest(d.starts, now() + interval '1 microsecond')
                                AND s.start_time < d.ends
                            ORDER BY s.start_time, s.id
                            LIMIT :most_looked_at::integer
                        ) AS s
                    LIMIT :most_looked_at::integer  -- noqa: AM09
                ) AS s
            ) AS s
            WHERE s.fits OR s.number = :most_looked_at::integer
            -- In no order: whichever they are, they are as many.
            LIMIT :limit::integer  -- noqa: AM09
        ) AS s
    ) AS counted
)

SELECT
    c.place,
    least(c.times + coalesce(f.times, 0), :limit::integer) AS times,
    c.whole AND c.times + coalesce(f.times, 0) < :limit::integer AS whole
FROM with_free_seats AS c
LEFT JOIN with_freed_seats AS f ON c.place = f.place
ORDER BY c.place;

-- name: find_reach
-- Tells how far a look for several free seats goes that looks at so many slots of each class of sizes: to the start of
-- the next one; null where it looks at all.
SELECT min(n.start_time) AS start_time
FROM generate_series(seats_class(:min_seats::integer), 8) AS size (class)
CROSS JOIN LATERAL (
    SELECT CASE WHEN count(*) > :most_looked_at::integer THEN max(s.start_time) END AS start_time
    FROM (
        SELECT s.start_time
        FROM appointment_slots AS s
        WHERE
            seats_class(s.total_seats) = size.class
            AND s.status = 'OPEN'
            AND s.has_free_seat
            AND s.start_time > greatest(:starts_from::timestamptz, now())
        ORDER BY s.start_time, s.id
        LIMIT :most_looked_at::integer + 1
    ) AS s
) AS n;

-- name: find_reach_of_specialization
-- The same of one specialization's slots: so many of all its doctors together, each with an equal part.
WITH theirs AS MATERIALIZED (
    SELECT d.id FROM doctors AS d
    WHERE lower(d.specialization) = lower(:specialization::text) AND d.active
),

quota AS (
    SELECT :most_looked_at::integer / greatest(count(*), 1) + 1 AS slots FROM theirs
)

SELECT min(n.start_time) AS start_time
FROM theirs AS t
CROSS JOIN LATERAL (
    SELECT CASE WHEN count(*) > (SELECT q.slots FROM quota AS q) THEN max(s.start_time) END AS start_time
    FROM (
        SELECT s.start_time
        FROM appointment_slots AS s
        WHERE
            s.doctor_id = t.id
            AND s.status = 'OPEN'
            AND s.has_free_seat
            AND s.start_time > greatest(:starts_from::timestamptz, now())
        ORDER BY s.start_time, s.id
        LIMIT (SELECT q.slots + 1 FROM quota AS q)
    ) AS s
) AS n;

-- name: list_other_doctors
-- The other doctors of a specialization, each with the next free time from a moment on; soonest first.
WITH theirs AS MATERIALIZED (
    SELECT d.id FROM doctors AS d
    WHERE lower(d.specialization) = lower(:specialization::text) AND d.active AND d.id <> :doctor_id::bigint
),

with_free_seats AS (
    SELECT t.id AS doctor_id, s.start_time
    FROM theirs AS t
    CROSS JOIN LATERAL (
        SELECT s.start_time
        FROM open_slots AS s
        WHERE
            s.doctor_id = t.id
            AND s.has_free_seat
            AND s.available_seats >= :min_seats::integer
            AND s.start_time >= greatest(:starts_from::timestamptz, now() + interval '1 microsecond')
        ORDER BY s.start_time, s.id
        LIMIT 1
    ) AS s
),

with_freed_seats AS (
    SELECT s.doctor_id, s.start_time
    FROM overdue_slots AS s
    WHERE
        s.doctor_id IN (SELECT t.id FROM theirs AS t)
        AND s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND s.start_time >= :starts_from::timestamptz
)

SELECT d.id, d.name, min(n.start_time) AS start_time
FROM (
    SELECT f.doctor_id, f.start_time FROM with_free_seats AS f
    UNION ALL
    SELECT f.doctor_id, f.start_time FROM with_freed_seats AS f
) AS n
INNER JOIN doctors AS d ON n.doctor_id = d.id
GROUP BY d.id
ORDER BY min(n.start_time), d.id
LIMIT :limit::integer;

-- name: look_for_published
-- Tells whether slots are published that have not started, taken or not: on a day, and at all.
-- Doctor by doctor, because slots without a free seat are in no other order; it stops at the first.
WITH theirs AS MATERIALIZED (
    SELECT d.id
    FROM doctors AS d
    WHERE
        d.active
        AND (:doctor_id::bigint IS NULL OR d.id = :doctor_id::bigint)
        AND (:specialization::text IS NULL OR lower(d.specialization) = lower(:specialization::text))
)

SELECT
    exists(
        SELECT s.start_time
        FROM theirs AS t
        CROSS JOIN LATERAL (
            SELECT s.start_time
            FROM appointment_slots AS s
            WHERE
                s.doctor_id = t.id
                AND s.status = 'OPEN'
                AND s.start_time >= greatest(:day_from::timestamptz, now() + interval '1 microsecond')
                AND s.start_time < :day_to::timestamptz
            ORDER BY s.start_time, s.id
            LIMIT 1
        ) AS s
    ) AS on_day,
    exists(
        SELECT s.start_time
        FROM theirs AS t
        CROSS JOIN LATERAL (
            SELECT s.start_time
            FROM appointment_slots AS s
            WHERE s.doctor_id = t.id AND s.status = 'OPEN' AND s.start_time > now()
            ORDER BY s.start_time, s.id
            LIMIT 1
        ) AS s
    ) AS ahead;
