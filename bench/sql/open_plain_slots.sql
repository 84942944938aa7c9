-- Make $1 slots of a plain booking service, with more seats than any load takes. The ids are consecutive, so that a
-- load needs only the first and the last.
WITH slots AS (
    INSERT INTO bench.slot (doctor_id, start_time, end_time, total_seats, available_seats)
    SELECT 1, now() + interval '1 day', now() + interval '1 day 30 minutes', 1000000000, 1000000000
    FROM generate_series(1, $1::integer) AS n (n)
    RETURNING id
)

SELECT min(s.id) AS first, max(s.id) AS last
FROM slots AS s;
