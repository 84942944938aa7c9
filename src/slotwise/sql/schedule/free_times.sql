-- name: list_choosable_doctors
-- Active doctors by name, of one specialization if one is given; the chosen doctor is included and comes first.
-- With some clinics, without the doctors who work only elsewhere.
-- Each row has the time of the database's clock.
SELECT d.id, d.name, d.specialization, d.name_sort_key, now() AS now
FROM doctors AS d
WHERE
    d.active
    AND (
        d.id = :doctor_id::bigint
        OR :specialization::text IS NULL
        OR d.specialization ~ :specialization::text
    )
    AND d.id NOT IN (
        SELECT w.doctor_id FROM doctor_clinics AS w
        GROUP BY w.doctor_id
        HAVING NOT bool_or(w.clinic_id = any(:clinic_ids::bigint[]))
    )
ORDER BY d.id IS NOT DISTINCT FROM :doctor_id::bigint DESC, d.name_sort_key ASC, d.id ASC
LIMIT :limit::integer;

-- name: count_free_times
-- Counts, for each of some days, the slots that `hold_seats` would accept, up to a limit; `whole` if these are all.
-- Days are half-open, and numbered by their place. The same two branches as in `list_slots_of_size`.
-- A count stops at its limit, or when it has looked at `most_looked_at` slots, so a day of a large clinic costs no more
-- than one of a small clinic. The largest slots come first, because they are the likeliest to have room. The last slot
-- looked at is passed on even if it does not fit: it shows that there may be more.
WITH days AS (
    SELECT d.starts, d.ends, d.place
    FROM unnest(:days_from::timestamptz[], :days_to::timestamptz[]) WITH ORDINALITY AS d (starts, ends, place)
),

with_freed_seats AS (
    SELECT d.place, count(*)::integer AS times
    FROM days AS d
    INNER JOIN
        overdue_slots_for(NULL, FALSE) AS s
        ON d.starts <= s.start_time AND d.ends > s.start_time
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
                SELECT
                    s.available_seats >= :min_seats::integer AS fits,
                    row_number() OVER () AS number
                FROM (
                    SELECT s.available_seats
                    FROM generate_series(8, seats_class(:min_seats::integer), -1) AS size (class)
                    CROSS JOIN
                        LATERAL (
                            SELECT s.available_seats
                            FROM open_slots_for(NULL, FALSE) AS s
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

-- name: count_free_times_of_clinics
-- The same as `count_free_times` for some clinics, walked as in `list_slots_of_clinics`.
WITH days AS (
    SELECT d.starts, d.ends, d.place
    FROM unnest(:days_from::timestamptz[], :days_to::timestamptz[]) WITH ORDINALITY AS d (starts, ends, place)
),

with_freed_seats AS (
    SELECT d.place, count(*)::integer AS times
    FROM days AS d
    INNER JOIN
        overdue_slots_for(NULL, FALSE) AS s
        ON d.starts <= s.start_time AND d.ends > s.start_time
    WHERE
        s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND s.clinic_id = any(:clinic_ids::bigint[])
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
                SELECT
                    s.available_seats >= :min_seats::integer AS fits,
                    row_number() OVER () AS number
                FROM (
                    SELECT s.available_seats
                    FROM unnest(:clinic_ids::bigint[]) AS c (id)
                    CROSS JOIN
                        LATERAL (
                            SELECT s.available_seats
                            FROM open_slots_for(NULL, FALSE) AS s
                            WHERE
                                s.has_free_seat
                                AND (s.clinic_id, s.start_time, s.id)
                                > (c.id, greatest(d.starts, now() + interval '1 microsecond'), 0)
                                AND (s.clinic_id, s.start_time, s.id) < (c.id, d.ends, 0)
                            ORDER BY s.clinic_id, s.start_time, s.id
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
-- The same as `count_free_times` for one doctor or one specialization, at some clinics or at all; a null filter is off.
WITH days AS (
    SELECT d.starts, d.ends, d.place
    FROM unnest(:days_from::timestamptz[], :days_to::timestamptz[]) WITH ORDINALITY AS d (starts, ends, place)
),

theirs AS MATERIALIZED (
    SELECT d.id
    FROM doctors_searched(:doctor_id::bigint, :specialization::text, :clinic_ids::bigint[]) AS d
),

with_freed_seats AS (
    SELECT d.place, count(*)::integer AS times
    FROM days AS d
    INNER JOIN
        overdue_slots_for(NULL, FALSE) AS s
        ON d.starts <= s.start_time AND d.ends > s.start_time
    WHERE
        s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND s.doctor_id IN (SELECT t.id FROM theirs AS t)
        AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
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
                SELECT
                    s.available_seats >= :min_seats::integer AS fits,
                    row_number() OVER () AS number
                FROM (
                    SELECT s.available_seats
                    FROM theirs AS t
                    CROSS JOIN
                        LATERAL (
                            SELECT s.available_seats
                            FROM open_slots_for(NULL, FALSE) AS s
                            WHERE
                                s.doctor_id = t.id
                                AND s.has_free_seat
                                AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
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
-- Finds how far a search for several free seats reaches that looks at `most_looked_at` slots of each size class.
-- That is the start of the next slot after these; null if there is none, so that all are looked at.
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

-- name: find_reach_of_clinics
-- The same as `find_reach` for some clinics, which share `most_looked_at` slots equally. Walked as in
-- `list_slots_of_clinics`.
SELECT min(n.start_time) AS start_time
FROM unnest(:clinic_ids::bigint[]) AS c (id)
CROSS JOIN LATERAL (
    SELECT
        CASE
            WHEN
                count(*) > :most_looked_at::integer / greatest(cardinality(:clinic_ids::bigint[]), 1)
                THEN max(s.start_time)
        END AS start_time
    FROM (
        SELECT s.start_time
        FROM appointment_slots AS s
        WHERE
            s.status = 'OPEN'
            AND s.has_free_seat
            AND (s.clinic_id, s.start_time, s.id)
            > (c.id, greatest(:starts_from::timestamptz, now()), 9223372036854775807)
            AND s.clinic_id <= c.id
        ORDER BY s.clinic_id, s.start_time, s.id
        LIMIT :most_looked_at::integer / greatest(cardinality(:clinic_ids::bigint[]), 1) + 1
    ) AS s
) AS n;

-- name: find_reach_of_specialization
-- The same as `find_reach` for one specialization, at some clinics if these are given: its doctors share
-- `most_looked_at` slots equally.
WITH theirs AS MATERIALIZED (
    SELECT d.id FROM doctors_searched(NULL, :specialization::text, :clinic_ids::bigint[]) AS d
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
            AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
            AND s.start_time > greatest(:starts_from::timestamptz, now())
        ORDER BY s.start_time, s.id
        LIMIT (SELECT q.slots + 1 FROM quota AS q)
    ) AS s
) AS n;

-- name: find_clinics_with_times
-- Finds those of some clinics at which a patient can book a time now, by one look at `slots_on_offer_by_clinic` for
-- each. A seat of an overdue hold makes a time free too.
SELECT c.id
FROM unnest(:clinic_ids::bigint[]) AS c (id)
CROSS JOIN
    LATERAL (
        SELECT s.id
        FROM open_slots_for(NULL, FALSE) AS s
        WHERE
            s.has_free_seat
            AND (s.clinic_id, s.start_time, s.id) > (c.id, now(), 9223372036854775807)
            AND s.clinic_id <= c.id
        ORDER BY s.clinic_id, s.start_time, s.id
        LIMIT 1
    ) AS s
UNION
SELECT s.clinic_id
FROM overdue_slots_for(NULL, FALSE) AS s
WHERE s.clinic_id = any(:clinic_ids::bigint[]) AND s.available_seats = 0 AND s.overdue_seats > 0;

-- name: list_other_doctors
-- Other doctors of a specialization, each with the first free time after a given one; soonest first.
-- At some clinics, if these are given.
WITH theirs AS MATERIALIZED (
    SELECT d.id FROM doctors_searched(NULL, :specialization::text, NULL) AS d WHERE d.id <> :doctor_id::bigint
),

with_free_seats AS (
    SELECT t.id AS doctor_id, s.start_time
    FROM theirs AS t
    CROSS JOIN LATERAL (
        SELECT s.start_time
        FROM open_slots_for(NULL, FALSE) AS s
        WHERE
            s.doctor_id = t.id
            AND s.has_free_seat
            AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
            AND s.available_seats >= :min_seats::integer
            AND s.start_time >= greatest(:starts_from::timestamptz, now() + interval '1 microsecond')
        ORDER BY s.start_time, s.id
        LIMIT 1
    ) AS s
),

with_freed_seats AS (
    SELECT s.doctor_id, s.start_time
    FROM overdue_slots_for(NULL, FALSE) AS s
    WHERE
        s.doctor_id IN (SELECT t.id FROM theirs AS t)
        AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
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
ORDER BY min(n.start_time), d.name_sort_key, d.id
LIMIT :limit::integer;

-- name: look_for_published
-- Tells whether there are open slots that have not started, free or full: on a day, and at all.
-- At some clinics, the doctors who work only elsewhere do not count: nobody waits for their times.
-- Looks doctor by doctor, because no other index has full slots; stops at the first slot. It looks at the next 100 of
-- each doctor, because all of them may be at other clinics.
WITH theirs AS MATERIALIZED (
    SELECT d.id
    FROM doctors_searched(:doctor_id::bigint, :specialization::text, :clinic_ids::bigint[]) AS d
)

SELECT
    exists(
        SELECT s.start_time
        FROM theirs AS t
        CROSS JOIN LATERAL (
            SELECT s.start_time
            FROM open_slots_for(:visit_type_id::bigint, FALSE) AS s
            WHERE
                s.doctor_id = t.id
                AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
                AND s.start_time >= greatest(:day_from::timestamptz, now() + interval '1 microsecond')
                AND s.start_time < :day_to::timestamptz
            ORDER BY s.start_time, s.id
            LIMIT 1
        ) AS s
    ) AS on_day,
    exists(
        SELECT s.clinic_id
        FROM theirs AS t
        CROSS JOIN
            LATERAL (
                SELECT s.clinic_id
                FROM open_slots_for(:visit_type_id::bigint, FALSE) AS s
                WHERE s.doctor_id = t.id AND s.start_time > now()
                ORDER BY s.start_time, s.id
                LIMIT 100
            ) AS s
        WHERE :clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[])
    ) AS ahead;

-- name: look_for_open_time
-- As `look_for_published` for open time: whether there is any in which a visit of a type, or of any type, can begin,
-- taken or not. Only doctors are looked at who have a rule for it: windows have the clinic of their rule.
WITH reach AS (
    SELECT
        array_agg(t.id) AS type_ids,
        now() + min(make_interval(mins => coalesce(t.min_notice_minutes, 0))) AS starts_from,
        now() + CASE WHEN bool_and(t.horizon_days IS NOT NULL) THEN make_interval(hours => 24 * max(t.horizon_days)) END
            AS starts_until
    FROM visit_types AS t
    WHERE t.active AND t.id = coalesce(:visit_type_id::bigint, t.id)
),

theirs AS MATERIALIZED (
    SELECT d.id
    FROM doctors_searched(:doctor_id::bigint, :specialization::text, NULL) AS d
    WHERE d.id IN (
            SELECT o.doctor_id
            FROM schedule_rules AS o
            INNER JOIN reach AS r ON o.visit_type_ids && r.type_ids
            WHERE o.kind = 'WINDOW' AND (:clinic_ids::bigint[] IS NULL OR o.clinic_id = any(:clinic_ids::bigint[]))
        )
)

SELECT
    exists(
        SELECT v.id
        FROM reach AS r
        CROSS JOIN theirs AS d
        CROSS JOIN LATERAL (
            SELECT v.id
            FROM open_windows_for(r.type_ids, :clinic_ids::bigint[]) AS v
            WHERE
                v.doctor_id = d.id
                AND (v.doctor_id, v.start_time)
                > (d.id, greatest(:day_from::timestamptz, r.starts_from) - interval '26 hours')
                AND (v.doctor_id, v.start_time) < (d.id, :day_to::timestamptz)
                AND v.start_time <= coalesce(r.starts_until, 'infinity')
                AND v.end_time > greatest(:day_from::timestamptz, r.starts_from)
            ORDER BY v.start_time, v.id
            LIMIT 1
        ) AS v
    ) AS on_day,
    exists(
        SELECT v.id
        FROM reach AS r
        CROSS JOIN theirs AS d
        CROSS JOIN LATERAL (
            SELECT v.id
            FROM open_windows_for(r.type_ids, :clinic_ids::bigint[]) AS v
            WHERE
                v.doctor_id = d.id
                AND (v.doctor_id, v.start_time) > (d.id, r.starts_from - interval '26 hours')
                AND (v.doctor_id, v.start_time) <= (d.id, coalesce(r.starts_until, 'infinity'))
                AND v.end_time > r.starts_from
            ORDER BY v.start_time, v.id
            LIMIT 1
        ) AS v
    ) AS ahead;
