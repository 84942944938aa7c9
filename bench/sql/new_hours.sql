-- Make $1 doctors who work from 9 to 17 each day, in half hours, from tomorrow on. The ids are consecutive.
WITH doctors AS (
    INSERT INTO doctors (name)
    SELECT 'Dr. ' || n.n
    FROM generate_series(1, $1::integer) AS n (n)
    RETURNING id
),

rules AS (
    INSERT INTO schedule_rules (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes)
    SELECT d.id, 1, (now() AT TIME ZONE 'UTC')::date + 1, w.weekday, 540, 1020, 30
    FROM doctors AS d
    CROSS JOIN generate_series(1, 7) AS w (weekday)
)

SELECT min(d.id) AS first, max(d.id) AS last
FROM doctors AS d;
