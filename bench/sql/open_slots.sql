-- Make $1 doctors with $2 slots in total, $3 seats each, every half hour from tomorrow on, and the first ledger row of
-- each slot as the server writes it. The ids are consecutive, so that a load needs only the first and the last.
WITH doctors AS (
    INSERT INTO doctors (name, specialization)
    SELECT 'Dr. ' || n.n, 'Speciality ' || n.n % 10
    FROM generate_series(0, $1::integer - 1) AS n (n)
    RETURNING id
),

numbered AS (
    SELECT d.id, row_number() OVER (ORDER BY d.id) - 1 AS number
    FROM doctors AS d
),

wanted AS MATERIALIZED (
    SELECT
        nextval('appointment_slots_id_seq') AS id,
        d.id AS doctor_id,
        date_trunc('day', now()) + interval '1 day' + n.n / $1::integer * interval '30 minutes' AS start_time
    FROM generate_series(0, $2::integer - 1) AS n (n)
    INNER JOIN numbered AS d ON n.n % $1::integer = d.number
),

slots AS (
    INSERT INTO appointment_slots (id, doctor_id, start_time, end_time, total_seats, available_seats)
    SELECT w.id, w.doctor_id, w.start_time, w.start_time + interval '30 minutes', $3::integer, $3::integer
    FROM wanted AS w
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, seats, available_after, total_after, actor, created_at
    )
    SELECT w.id, 1, 'CREATED', $3::integer, $3::integer, $3::integer, 'bench', now()
    FROM wanted AS w
)

SELECT min(w.id) AS first, max(w.id) AS last
FROM wanted AS w;
