-- name: read_clock
-- Reads the database's clock.
SELECT now() AS now;

-- name: read_offered_types
-- Reads the active visit types, whether this caller can book them, and from when on until when: by the rules of
-- `check_types` and `check_visit`. `starts_until` is null without a horizon.
SELECT
    t.id,
    t.minutes,
    t.buffer_minutes,
    t.mode,
    now() AS now,
    :by_desk::boolean OR (
        t.bookable_by <> 'STAFF'
        AND (t.bookable_by <> 'ACCOUNTS' OR :user_id::bigint IS NOT NULL)
        AND check_patient(t.id, :user_id::bigint, patient_keys(:user_id::bigint, NULL), '{}', NULL, now()) IS NULL
    ) AS offered,
    now() + make_interval(mins => CASE WHEN NOT :by_desk::boolean THEN coalesce(t.min_notice_minutes, 0) ELSE 0 END)
        AS starts_from,
    now() + make_interval(hours => CASE WHEN NOT :by_desk::boolean THEN 24 * t.horizon_days END) AS starts_until
FROM visit_types AS t
WHERE t.active
ORDER BY t.id;

-- name: list_open_days
-- Lists the next windows in which a visit of one of the types can begin, by the earliest place (start and doctor) that
-- a visit in them can have in the list of times, after such a place. `bound` is that start, and `near` that of the
-- window. A window that has begun is in the list from the next place in it where a visit can begin.
WITH begun AS MATERIALIZED (
    SELECT f.bound, v.doctor_id, v.clinic_id, v.start_time, v.local_start
    FROM open_windows_for(:type_ids::bigint[], :clinic_ids::bigint[]) AS v
    INNER JOIN doctors AS d ON v.doctor_id = d.id
    CROSS JOIN
        LATERAL first_start(
            v.doctor_id,
            v.start_time,
            v.step_minutes,
            :from_time::timestamptz + interval '1 microsecond' * (v.doctor_id < :from_doctor::bigint)::integer
        ) AS f
    WHERE
        v.start_time > :from_time::timestamptz - interval '26 hours'
        AND v.start_time <= :from_time::timestamptz
        AND v.end_time > :from_time::timestamptz
        AND d.active
),

coming AS (
    SELECT v.start_time AS bound, v.doctor_id, v.clinic_id, v.start_time, v.local_start
    FROM open_windows_for(:type_ids::bigint[], :clinic_ids::bigint[]) AS v
    INNER JOIN doctors AS d ON v.doctor_id = d.id
    WHERE
        v.start_time > :from_time::timestamptz
        AND (v.start_time, v.doctor_id) > (:after_time::timestamptz, :after_doctor::bigint)
        AND v.start_time < :starts_before::timestamptz
        AND d.active
    ORDER BY v.start_time, v.doctor_id
    LIMIT :limit::integer
)

SELECT o.bound, o.doctor_id, o.clinic_id, o.local_start::date AS day, o.start_time AS near
FROM (
    SELECT b.bound, b.doctor_id, b.clinic_id, b.start_time, b.local_start
    FROM begun AS b
    WHERE (b.bound, b.doctor_id) > (:after_time::timestamptz, :after_doctor::bigint)
    UNION ALL
    SELECT c.bound, c.doctor_id, c.clinic_id, c.start_time, c.local_start
    FROM coming AS c
) AS o
ORDER BY o.bound, o.doctor_id
LIMIT :limit::integer;

-- name: list_open_days_of_doctors
-- As `list_open_days`, of one doctor or of those with a specialization: each doctor's next windows are looked up by
-- `windows_of_doctor`. The doctors share the page equally, and none is read beyond the start at which these windows
-- would fill it. Rows are compared because the planner would read the windows of all doctors for each of them.
WITH theirs AS MATERIALIZED (
    SELECT d.id FROM doctors_searched(:doctor_id::bigint, :specialization::text, NULL) AS d
),

quota AS (
    SELECT :limit::integer / greatest(count(*), 1) + 1 AS windows FROM theirs
),

first_ones AS (
    SELECT v.start_time
    FROM theirs AS d
    CROSS JOIN LATERAL (
        SELECT v.start_time
        FROM open_windows_for(:type_ids::bigint[], :clinic_ids::bigint[]) AS v
        WHERE
            v.doctor_id = d.id
            AND (v.doctor_id, v.start_time) > (d.id, greatest(:from_time::timestamptz, :after_time::timestamptz))
            AND (v.doctor_id, v.start_time) < (d.id, :starts_before::timestamptz)
        ORDER BY v.start_time
        LIMIT (SELECT q.windows FROM quota AS q)
    ) AS v
),

last_start AS (
    SELECT CASE WHEN count(*) = :limit::integer THEN max(f.start_time) ELSE 'infinity' END AS start_time
    FROM (SELECT f.start_time FROM first_ones AS f ORDER BY f.start_time LIMIT :limit::integer) AS f
),

near AS (
    SELECT
        CASE
            WHEN v.start_time > :from_time::timestamptz THEN v.start_time
            WHEN v.doctor_id >= :from_doctor::bigint THEN :from_time::timestamptz
            ELSE :from_time::timestamptz + interval '1 microsecond'
        END AS bound,
        v.doctor_id,
        v.clinic_id,
        v.start_time,
        v.local_start
    FROM theirs AS d
    CROSS JOIN LATERAL (
        SELECT v.doctor_id, v.clinic_id, v.start_time, v.local_start
        FROM open_windows_for(:type_ids::bigint[], :clinic_ids::bigint[]) AS v
        WHERE
            v.doctor_id = d.id
            AND (v.doctor_id, v.start_time) > (d.id, :from_time::timestamptz - interval '26 hours')
            AND (v.doctor_id, v.start_time) < (d.id, :starts_before::timestamptz)
            AND (v.doctor_id, v.start_time) <= (d.id, (SELECT l.start_time FROM last_start AS l))
            AND v.end_time > :from_time::timestamptz
            -- The one that has begun, and the one at that place, may be read again: they are left out below.
            AND (v.start_time <= :from_time::timestamptz OR v.start_time >= :after_time::timestamptz)
        ORDER BY v.start_time
        LIMIT :limit::integer + 2
    ) AS v
)

SELECT n.bound, n.doctor_id, n.clinic_id, n.local_start::date AS day, n.start_time AS near
FROM near AS n
WHERE (n.bound, n.doctor_id) > (:after_time::timestamptz, :after_doctor::bigint)
ORDER BY n.bound, n.doctor_id
LIMIT :limit::integer;

-- name: list_windows_of_periods
-- Lists windows in which a visit of one of the types can begin: of each of some periods, so many at most, in no order.
SELECT p.place, o.doctor_id, o.clinic_id, o.local_start::date AS day, o.start_time AS near
FROM unnest(:places::integer[], :periods_from::timestamptz[], :periods_to::timestamptz[]) AS p (place, starts, ends)
CROSS JOIN
    LATERAL (
        SELECT v.doctor_id, v.clinic_id, v.start_time, v.local_start
        FROM open_windows_for(:type_ids::bigint[], :clinic_ids::bigint[]) AS v
        INNER JOIN doctors AS d ON v.doctor_id = d.id
        WHERE
            v.start_time > p.starts - interval '26 hours'
            AND v.start_time < p.ends
            AND v.end_time > p.starts
            AND d.active
        LIMIT :limit::integer  -- noqa: AM09
    ) AS o;

-- name: list_windows_of_doctors
-- As `list_windows_of_periods`, of one doctor or of those with a specialization: doctor by doctor, until there are
-- enough of a period.
WITH theirs AS MATERIALIZED (
    SELECT d.id FROM doctors_searched(:doctor_id::bigint, :specialization::text, NULL) AS d
)

SELECT p.place, o.doctor_id, o.clinic_id, o.local_start::date AS day, o.start_time AS near
FROM unnest(:places::integer[], :periods_from::timestamptz[], :periods_to::timestamptz[]) AS p (place, starts, ends)
CROSS JOIN
    LATERAL (
        SELECT v.doctor_id, v.clinic_id, v.start_time, v.local_start
        FROM theirs AS d
        CROSS JOIN
            LATERAL (
                SELECT v.doctor_id, v.clinic_id, v.start_time, v.local_start
                FROM open_windows_for(:type_ids::bigint[], :clinic_ids::bigint[]) AS v
                WHERE
                    v.doctor_id = d.id
                    AND (v.doctor_id, v.start_time) > (d.id, p.starts - interval '26 hours')
                    AND (v.doctor_id, v.start_time) < (d.id, p.ends)
                    AND v.end_time > p.starts
                ORDER BY v.start_time
                LIMIT :limit::integer
            ) AS v
        LIMIT :limit::integer  -- noqa: AM09
    ) AS o;

-- name: read_open_days
-- Reads the windows of doctors on some days, with what takes their time and with the closures that touch them. Later
-- than a window, what the longest buffer could reach.
SELECT
    v.id,
    v.doctor_id,
    v.clinic_id,
    v.local_start::date AS day,
    v.start_time,
    v.end_time,
    r.step_minutes,
    coalesce(r.visit_type_ids, '{}') AS visit_type_ids,
    d.name AS doctor_name,
    d.specialization,
    b.starts AS busy_from,
    b.ends AS busy_until,
    g.starts AS closed_from,
    g.ends AS closed_until
FROM unnest(:doctor_ids::bigint[], :clinic_ids::bigint[], :days::date[], :near::timestamptz[]) AS w (
        doctor_id, clinic_id, day, near
    )
INNER JOIN doctors AS d ON w.doctor_id = d.id
CROSS JOIN
    LATERAL (
        SELECT v.id, v.doctor_id, v.clinic_id, v.rule_id, v.start_time, v.end_time, v.local_start
        FROM windows AS v
        WHERE
            v.doctor_id = w.doctor_id
            AND v.start_time > w.near - interval '26 hours'
            AND v.start_time < w.near + interval '26 hours'
            AND v.status = 'OPEN'
            AND v.clinic_id = w.clinic_id
            AND v.local_start::date = w.day
        ORDER BY v.start_time
        LIMIT 1000
    ) AS v
INNER JOIN schedule_rules AS r ON v.rule_id = r.id
CROSS JOIN
    LATERAL (
        SELECT
            coalesce(array_agg(o.start_time ORDER BY o.start_time), '{}') AS starts,
            coalesce(array_agg(o.busy_until ORDER BY o.start_time), '{}') AS ends
        FROM busy_times(v.doctor_id, v.start_time, v.end_time + interval '4 hours') AS o
    ) AS b
CROSS JOIN
    LATERAL (
        SELECT
            coalesce(array_agg(o.start_time ORDER BY o.start_time), '{}') AS starts,
            coalesce(array_agg(o.end_time ORDER BY o.start_time), '{}') AS ends
        FROM closures AS o
        WHERE
            o.removed_at IS NULL
            AND o.end_time > v.start_time
            AND o.start_time < v.end_time
            AND coalesce(o.doctor_id, v.doctor_id) = v.doctor_id
            AND coalesce(o.clinic_id, v.clinic_id) = v.clinic_id
    ) AS g
ORDER BY v.doctor_id, v.clinic_id, v.start_time;
