-- Make a visit type of ten minutes and $1 doctors who have open time for it from 8 to 20 on each of the $2 days from
-- tomorrow on, with visits every ten minutes. It counts as published until long after that, so that the publisher has
-- nothing to do. $3 is the edition of the time zones. The ids are consecutive.
WITH visit AS (
    INSERT INTO visit_types (name, minutes) VALUES ('Visit of ' || clock_timestamp(), 10)
    RETURNING id
),

doctors AS (
    INSERT INTO doctors (name, specialization)
    SELECT 'Dr. ' || n.n, 'Speciality ' || n.n % 10
    FROM generate_series(0, $1::integer - 1) AS n (n)
    RETURNING id
),

rules AS (
    INSERT INTO schedule_rules (
        doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, visit_type_ids, kind, step_minutes
    )
    SELECT d.id, 1, (now() AT TIME ZONE 'UTC')::date + 1, w.weekday, 480, 1200, 720, ARRAY[v.id], 'WINDOW', 10
    FROM doctors AS d
    CROSS JOIN visit AS v
    CROSS JOIN generate_series(1, 7) AS w (weekday)
    RETURNING id, doctor_id, weekday
),

noted AS (
    INSERT INTO rule_runs (rule_id, rule_version, published_until, tzdata)
    SELECT r.id, 1, (now() AT TIME ZONE 'UTC')::date + 3650, $3::text
    FROM rules AS r
),

made AS (
    INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)
    SELECT r.doctor_id, 1, r.id, d.start AT TIME ZONE 'UTC', d.start AT TIME ZONE 'UTC' + interval '12 hours', d.start
    FROM rules AS r
    CROSS JOIN
        LATERAL (
            SELECT (now() AT TIME ZONE 'UTC')::date + 1 + n.n + time '08:00' AS start
            FROM generate_series(0, $2::integer - 1) AS n (n)
        ) AS d
    WHERE extract(ISODOW FROM d.start) = r.weekday
    ORDER BY d.start, r.doctor_id
    RETURNING id
)

SELECT min(m.id) AS first, max(m.id) AS last, min(v.id) AS visit_type_id
FROM made AS m
CROSS JOIN visit AS v;
