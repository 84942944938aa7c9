-- name: find_span
-- Finds the id of the newest booking before an id, and of the oldest of all; zero if there is none.
SELECT
    coalesce((SELECT max(b.id) FROM bookings AS b WHERE b.id < :before_id::bigint), 0) AS newest,
    coalesce((SELECT min(b.id) FROM bookings AS b), 0) AS oldest;

-- name: list_bookings
-- A page of the bookings between two ids, for the desk, newest first; a null filter is off.
-- Whatever the filters, this walks the primary key, and the caller bounds the walk with `floor_id`. The slot's start is
-- read by a scalar subquery, because for a join the planner would read all slots.
WITH page AS (
    SELECT b.id
    FROM (
        SELECT b.id
        FROM bookings AS b
        WHERE
            b.id < :before_id::bigint
            AND b.id >= :floor_id::bigint
            AND (
                :status::text IS NULL
                OR CASE WHEN b.status = 'PENDING' AND b.expires_at <= now() THEN 'FAILED' ELSE b.status END
                = :status::text
            )
            AND (:pattern::text IS NULL OR concat_ws(' ', b.user_name, b.user_email) ~ :pattern::text)
            AND (
                :any_start::boolean
                OR (
                    SELECT
                        s.start_time >= :starts_from::timestamptz
                        AND s.start_time < :starts_before::timestamptz
                        AND s.end_time > :ends_after::timestamptz
                    FROM appointment_slots AS s
                    WHERE s.id = b.slot_id
                )
            )
        ORDER BY b.id DESC
        LIMIT 501
    ) AS b
    ORDER BY b.id DESC
    LIMIT :limit::integer
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.id DESC;

-- name: list_bookings_of_status
-- A page of the bookings of one status other than CONFIRMED; otherwise like `list_bookings`.
-- An overdue hold counts as FAILED even before a sweep. These few are a separate branch.
WITH settled AS (
    SELECT b.id
    FROM bookings AS b
    WHERE
        b.status = :status::text
        AND coalesce(b.status, '') <> 'CONFIRMED'
        AND b.id < :before_id::bigint
        AND b.id >= :floor_id::bigint
        AND (b.status <> 'PENDING' OR b.expires_at > now())
        AND (:pattern::text IS NULL OR concat_ws(' ', b.user_name, b.user_email) ~ :pattern::text)
        AND (
            :any_start::boolean
            OR (
                SELECT
                    s.start_time >= :starts_from::timestamptz
                    AND s.start_time < :starts_before::timestamptz
                    AND s.end_time > :ends_after::timestamptz
                FROM appointment_slots AS s
                WHERE s.id = b.slot_id
            )
        )
    ORDER BY b.id DESC
    LIMIT 501
),

overdue AS (
    SELECT b.id
    FROM bookings AS b
    WHERE
        :status::text = 'FAILED'
        AND coalesce(b.status, '') = 'PENDING'
        AND b.expires_at <= now()
        AND b.id < :before_id::bigint
        AND b.id >= :floor_id::bigint
        AND (:pattern::text IS NULL OR concat_ws(' ', b.user_name, b.user_email) ~ :pattern::text)
        AND (
            :any_start::boolean
            OR (
                SELECT
                    s.start_time >= :starts_from::timestamptz
                    AND s.start_time < :starts_before::timestamptz
                    AND s.end_time > :ends_after::timestamptz
                FROM appointment_slots AS s
                WHERE s.id = b.slot_id
            )
        )
    ORDER BY b.expires_at
    LIMIT 2147483647
),

page AS (
    SELECT b.id
    FROM (
        SELECT s.id FROM settled AS s
        UNION ALL
        SELECT o.id FROM overdue AS o
    ) AS b
    ORDER BY b.id DESC
    LIMIT :limit::integer
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.id DESC;

-- name: count_slots_of_period
-- Counts the slots that start in a period, up to a limit. Their ends are left out: the index does not have them.
SELECT count(*)::integer AS slots
FROM (
    SELECT 1
    FROM doctors AS d
    INNER JOIN appointment_slots AS s ON d.id = s.doctor_id
    WHERE s.start_time >= :starts_from::timestamptz AND s.start_time < :starts_before::timestamptz
    ORDER BY d.id
    LIMIT :limit::integer
) AS counted;

-- name: list_bookings_of_slots
-- A page of the bookings of one slot, or of the slots of one doctor or all in a period, for the desk, newest first.
-- A null filter is off. Slots are found doctor by doctor. First the newest bookings of each slot are read, together a
-- page. They show which slots the page has bookings of, and the lowest id that it can reach. Then the bookings of these
-- slots down to that id are read.
-- It compares and sorts by a row that begins with the slot, instead of using `=`. Otherwise, if one slot has nearly all
-- bookings, the planner would walk all bookings by id, from the newest, to find those of another slot.
WITH wanted AS MATERIALIZED (
    SELECT s.id
    FROM appointment_slots AS s
    WHERE
        s.id = :slot_id::bigint
        AND s.doctor_id = coalesce(:doctor_id::bigint, s.doctor_id)
        AND s.start_time >= :starts_from::timestamptz
        AND s.start_time < :starts_before::timestamptz
        AND s.end_time > :ends_after::timestamptz
    UNION ALL
    SELECT s.id
    FROM (
        SELECT d.id FROM doctors AS d
        WHERE :slot_id::bigint IS NULL AND (:doctor_id::bigint IS NULL OR d.id = :doctor_id::bigint)
    ) AS d
    CROSS JOIN LATERAL (
        SELECT s.id
        FROM appointment_slots AS s
        WHERE
            s.doctor_id = d.id
            AND s.start_time >= :starts_from::timestamptz
            AND s.start_time < :starts_before::timestamptz
            AND s.end_time > :ends_after::timestamptz
        ORDER BY s.start_time, s.id
        LIMIT 2147483647
    ) AS s
),

quota AS (
    SELECT :limit::integer / greatest(count(*), 1) + 1 AS bookings FROM wanted
),

newest_of_each AS (
    SELECT b.slot_id, b.id
    FROM wanted AS w
    CROSS JOIN LATERAL (
        SELECT b.slot_id, b.id
        FROM bookings AS b
        WHERE
            b.slot_id >= w.id
            AND (b.slot_id, b.id) < (w.id, :before_id::bigint)
            AND (
                :status::text IS NULL
                OR CASE WHEN b.status = 'PENDING' AND b.expires_at <= now() THEN 'FAILED' ELSE b.status END
                = :status::text
            )
            AND (:pattern::text IS NULL OR concat_ws(' ', b.user_name, b.user_email) ~ :pattern::text)
        ORDER BY b.slot_id DESC, b.id DESC
        LIMIT (SELECT q.bookings FROM quota AS q)
    ) AS b
),

newest AS MATERIALIZED (
    SELECT n.slot_id, n.id FROM newest_of_each AS n
    ORDER BY n.id DESC
    LIMIT :limit::integer
),

lowest AS (
    SELECT CASE WHEN count(*) = :limit::integer THEN min(n.id) ELSE 0 END AS id FROM newest AS n
),

down_to_it AS (
    SELECT b.id
    FROM (SELECT DISTINCT n.slot_id FROM newest AS n) AS w
    CROSS JOIN LATERAL (
        SELECT b.id
        FROM bookings AS b
        WHERE
            (b.slot_id, b.id) < (w.slot_id, :before_id::bigint)
            AND (b.slot_id, b.id) >= (w.slot_id, (SELECT l.id FROM lowest AS l))
            AND (
                :status::text IS NULL
                OR CASE WHEN b.status = 'PENDING' AND b.expires_at <= now() THEN 'FAILED' ELSE b.status END
                = :status::text
            )
            AND (:pattern::text IS NULL OR concat_ws(' ', b.user_name, b.user_email) ~ :pattern::text)
        ORDER BY b.slot_id DESC, b.id DESC
        LIMIT :limit::integer
    ) AS b
),

page AS (
    SELECT t.id FROM down_to_it AS t
    ORDER BY t.id DESC
    LIMIT :limit::integer
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.id DESC;
