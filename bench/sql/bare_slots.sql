-- Insert the slots of the hours of the doctors from $1 to $2 until the day before $3, with their ledger rows: what the
-- publisher writes, without whatever it does to find out what that is.
WITH wanted AS MATERIALIZED (
    SELECT
        nextval('appointment_slots_id_seq') AS id,
        r.doctor_id,
        r.id AS rule_id,
        d.day + make_interval(mins => r.opens + n.n * r.slot_minutes) AS local_start,
        make_interval(mins => r.slot_minutes) AS lasts
    FROM schedule_rules AS r
    CROSS JOIN generate_series(r.first_day, $3::date - 1, interval '1 day') AS d (day)
    CROSS JOIN generate_series(0, (r.closes - r.opens) / r.slot_minutes - 1) AS n (n)
    WHERE r.doctor_id BETWEEN $1::bigint AND $2::bigint AND extract(ISODOW FROM d.day) = r.weekday
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, seats, available_after, total_after, actor, created_at
    )
    SELECT w.id, 1, 'CREATED', 1, 1, 1, 'bench', clock_timestamp()
    FROM wanted AS w
)

INSERT INTO appointment_slots (
    id, doctor_id, clinic_id, start_time, end_time, total_seats, available_seats, rule_id, rule_version, local_start
)
SELECT
    w.id,
    w.doctor_id,
    1,
    w.local_start AT TIME ZONE 'UTC',
    w.local_start AT TIME ZONE 'UTC' + w.lasts,
    1,
    1,
    w.rule_id,
    1,
    w.local_start
FROM wanted AS w;
