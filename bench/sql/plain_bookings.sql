-- The bookings of the slots from $1 to $2, and the seats that these slots have lost.
SELECT
    (SELECT count(*) FROM bench.booking AS b WHERE b.slot_id BETWEEN $1::bigint AND $2::bigint) AS bookings,
    (
        SELECT sum(s.total_seats - s.available_seats)
        FROM bench.slot AS s
        WHERE s.id BETWEEN $1::bigint AND $2::bigint
    ) AS seats;
