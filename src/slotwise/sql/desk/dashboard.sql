-- name: list_utilisation
-- Counts offered, confirmed, held and free seats of each doctor with slots in a period; fullest first.
-- Here and below, at some clinics only, if these are given.
-- A slot across midnight counts on both days: the doctor is at work on both.
-- Reads doctor by doctor along `slots_of_doctor`. A seat that is neither free nor held is confirmed. A closed slot
-- counts as offering only the seats that are taken. Visits in open time are counted by themselves: of how many they are
-- depends on their lengths.
WITH of_day AS (
    SELECT d.id AS doctor_id, s.id, s.start_time, s.status, s.total_seats, s.available_seats, s.window_id
    FROM doctors AS d
    CROSS JOIN LATERAL (
        SELECT s.id, s.start_time, s.status, s.total_seats, s.available_seats, s.window_id
        FROM slots_in_period(d.id, :starts_from::timestamptz, :starts_before::timestamptz) AS s
        WHERE :clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[])
        ORDER BY s.start_time, s.id
        LIMIT 2147483647
    ) AS s
),

slots AS (
    SELECT
        s.doctor_id,
        s.start_time,
        s.status,
        s.total_seats,
        s.total_seats - s.available_seats - p.overdue AS taken,
        p.held,
        s.window_id IS NOT NULL AS carved
    FROM of_day AS s
    CROSS JOIN LATERAL (
        SELECT
            coalesce(sum(b.seats_booked) FILTER (WHERE b.expires_at <= now()), 0) AS overdue,
            coalesce(sum(b.seats_booked) FILTER (WHERE b.expires_at > now()), 0) AS held
        FROM (
            SELECT b.seats_booked, b.expires_at
            FROM bookings AS b
            WHERE b.slot_id = s.id AND b.status = 'PENDING'
            ORDER BY b.expires_at
            LIMIT 2147483647
        ) AS b
    ) AS p
),

days AS (
    SELECT
        s.doctor_id,
        count(*) AS slots,
        sum(CASE WHEN s.carved THEN 0 WHEN s.status = 'OPEN' THEN s.total_seats ELSE s.taken END)::bigint
            AS offered_seats,
        sum(CASE WHEN s.carved THEN 0 ELSE s.taken - s.held END)::bigint AS confirmed_seats,
        sum(CASE WHEN s.carved THEN 0 ELSE s.held END)::bigint AS held_seats,
        sum(
            CASE
                WHEN NOT s.carved AND s.status = 'OPEN' AND s.start_time > now() THEN s.total_seats - s.taken
                ELSE 0
            END
        )::bigint AS free_seats,
        sum(CASE WHEN s.carved THEN s.taken - s.held ELSE 0 END)::bigint AS confirmed_visits,
        sum(CASE WHEN s.carved THEN s.held ELSE 0 END)::bigint AS held_visits
    FROM slots AS s
    -- An empty carved slot is open time again.
    WHERE NOT s.carved OR s.taken > 0
    GROUP BY s.doctor_id
)

SELECT
    d.id AS doctor_id,
    d.name AS doctor_name,
    d.specialization,
    day.slots,
    day.offered_seats,
    day.confirmed_seats,
    day.held_seats,
    day.free_seats,
    day.confirmed_visits,
    day.held_visits
FROM days AS day
INNER JOIN doctors AS d ON day.doctor_id = d.id
ORDER BY
    (day.confirmed_seats + day.held_seats)::double precision / greatest(day.offered_seats, 1) DESC,
    d.name_sort_key ASC,
    d.id ASC;

-- name: count_day
-- Counts the bookings of a period's slots by status, among 10,000 at most, and all live holds.
-- A released hold was never confirmed, so it is not counted as cancelled.
-- Two limits only keep the planner from reading all slots, or all bookings, for a join. It compares a row instead of
-- using `=` for the reason given with `list_bookings_of_slots`.
WITH of_day AS (
    SELECT d.id AS doctor_id, s.id
    FROM doctors AS d
    CROSS JOIN LATERAL (
        SELECT s.id
        FROM slots_in_period(d.id, :starts_from::timestamptz, :starts_before::timestamptz) AS s
        WHERE :clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[])
        ORDER BY s.start_time, s.id
        LIMIT 2147483647
    ) AS s
),

booked AS (
    SELECT s.doctor_id, b.status, b.confirmed_at
    FROM of_day AS s
    CROSS JOIN LATERAL (
        SELECT b.status, b.confirmed_at
        FROM bookings AS b
        WHERE b.slot_id <= s.id AND (b.slot_id, b.id) > (s.id, 0)
        ORDER BY b.slot_id, b.id
        LIMIT 2147483647
    ) AS b
),

looked_at AS (
    SELECT b.status, b.confirmed_at
    FROM booked AS b
    ORDER BY b.doctor_id
    LIMIT 10000
),

running AS (
    SELECT 1
    FROM bookings AS b
    WHERE
        coalesce(b.status, '') = 'PENDING'
        AND b.expires_at > now()
        AND (
            :clinic_ids::bigint[] IS NULL
            OR (SELECT s.clinic_id FROM appointment_slots AS s WHERE s.id = b.slot_id) = any(:clinic_ids::bigint[])
        )
    ORDER BY b.expires_at
    LIMIT 10000
)

SELECT
    count(*) AS looked_at,
    count(*) FILTER (WHERE l.status = 'CONFIRMED') AS confirmed,
    count(*) FILTER (WHERE l.status = 'CANCELLED' AND l.confirmed_at IS NOT NULL) AS cancelled,
    (SELECT count(*) FROM running) AS running_holds
FROM looked_at AS l;

-- name: list_nearly_full
-- Lists the next 20 slots of several seats that have one seat left, or a fifth at most; by start.
-- Of each size class only the first 500 are looked at, because a week may have any number. The size classes, as in
-- `list_slots_of_size`, leave out slots for one person, which are most.
WITH candidates AS (
    SELECT s.id
    FROM generate_series(seats_class(2), 8) AS size (class)
    CROSS JOIN LATERAL (
        SELECT n.id
        FROM (
            SELECT s.id, s.doctor_id, s.start_time, s.total_seats, s.available_seats
            FROM appointment_slots AS s
            WHERE
                seats_class(s.total_seats) = size.class
                AND s.status = 'OPEN'
                AND s.has_free_seat
                AND s.start_time > now()
                AND s.start_time < :starts_before::timestamptz
                AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
            ORDER BY s.start_time, s.id
            LIMIT 500
        ) AS n
        WHERE
            (n.available_seats = 1 OR n.available_seats <= n.total_seats / 5)
            AND (SELECT d.active FROM doctors AS d WHERE d.id = n.doctor_id)
        ORDER BY n.start_time, n.id
        LIMIT 40
    ) AS s
)

SELECT s.slot_columns
FROM slots_now AS s
WHERE
    s.id IN (SELECT c.id FROM candidates AS c)
    -- With the seats of overdue holds, more may be free than the counter says.
    AND (s.available_seats = 1 OR s.available_seats <= s.total_seats / 5)
ORDER BY s.start_time, s.id
LIMIT 20;

-- name: list_expiring_holds
-- Lists the 10 live holds with the next deadlines.
SELECT
    h.id,
    h.slot_id,
    h.seats_booked,
    h.expires_at,
    ceil(extract(EPOCH FROM h.expires_at - now()))::integer AS seconds_left,
    d.name AS doctor_name,
    s.start_time,
    s.clinic_id
FROM (
    SELECT b.id, b.slot_id, b.seats_booked, b.expires_at
    FROM bookings AS b
    WHERE
        coalesce(b.status, '') = 'PENDING'
        AND b.expires_at > now()
        AND (
            :clinic_ids::bigint[] IS NULL
            OR (SELECT s.clinic_id FROM appointment_slots AS s WHERE s.id = b.slot_id) = any(:clinic_ids::bigint[])
        )
    ORDER BY b.expires_at
    LIMIT 10
) AS h
INNER JOIN appointment_slots AS s ON h.slot_id = s.id
INNER JOIN doctors AS d ON s.doctor_id = d.id
ORDER BY h.expires_at, h.id;

-- name: list_latest_bookings
-- Lists the 20 newest bookings.
SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT n.id FROM bookings AS n ORDER BY n.id DESC LIMIT 20)
ORDER BY b.id DESC;

-- name: list_latest_bookings_of_clinics
-- Lists the 20 newest bookings of some clinics, among the newest 5,000 of all. Reads until it has 20, and of the others
-- only at which clinic they are.
SELECT b.booking_columns
FROM bookings_now AS b
WHERE
    b.id IN (
        SELECT n.id
        FROM (
            SELECT n.id, n.slot_id FROM bookings AS n
            ORDER BY n.id DESC
            LIMIT 5000
        ) AS n
        CROSS JOIN
            LATERAL (
                SELECT s.clinic_id FROM appointment_slots AS s
                WHERE s.id = n.slot_id
                ORDER BY s.id
                LIMIT 1
            ) AS s
        WHERE s.clinic_id = any(:clinic_ids::bigint[])
        ORDER BY n.id DESC
        LIMIT 20
    )
ORDER BY b.id DESC;
