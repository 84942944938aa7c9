-- name: list_coming_bookings
-- A page of an account's coming appointments, soonest first, after a position.
-- No index has both account and time. So only the newest thousand bookings are read, because an account may have any
-- number. The slots are looked up one by one, because the planner would read all of them for a join.
-- An expired hold was never an appointment, so it is left out. With `own_email`, only bookings with that e-mail address
-- among the newest 20,000: the others were made at the desk for other people.
WITH newest AS (
    SELECT b.id, b.slot_id
    FROM (
        SELECT b.id, b.slot_id, b.status, b.expires_at
        FROM (
            SELECT b.id, b.slot_id, b.status, b.expires_at, b.user_email
            FROM bookings AS b
            WHERE b.user_id = :user_id::bigint
            ORDER BY b.id DESC
            LIMIT 20000
        ) AS b
        WHERE :own_email::text IS NULL OR email_key(b.user_email) = email_key(:own_email::text)
        ORDER BY b.id DESC
        LIMIT 1000
    ) AS b
    WHERE b.status = 'CONFIRMED' OR (b.status = 'PENDING' AND b.expires_at > now())
),

page AS (
    SELECT n.id
    FROM newest AS n
    CROSS JOIN
        LATERAL (
            SELECT s.start_time, s.end_time
            FROM appointment_slots AS s
            WHERE s.id = n.slot_id
            ORDER BY s.id
            LIMIT 1
        ) AS s
    WHERE s.end_time > now() AND (s.start_time, n.id) > (:after_time::timestamptz, :after_id::bigint)
    ORDER BY s.start_time, n.id
    LIMIT :limit::integer
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.start_time, b.id;

-- name: list_past_bookings
-- A page of an account's appointments that have ended or were cancelled, latest first, before a position.
-- Otherwise like `list_coming_bookings`.
WITH newest AS (
    SELECT b.id, b.slot_id, b.status
    FROM (
        SELECT b.id, b.slot_id, b.status, b.confirmed_at
        FROM (
            SELECT b.id, b.slot_id, b.status, b.confirmed_at, b.user_email
            FROM bookings AS b
            WHERE b.user_id = :user_id::bigint
            ORDER BY b.id DESC
            LIMIT 20000
        ) AS b
        WHERE :own_email::text IS NULL OR email_key(b.user_email) = email_key(:own_email::text)
        ORDER BY b.id DESC
        LIMIT 1000
    ) AS b
    -- A hold that expired or was released was never an appointment.
    WHERE b.confirmed_at IS NOT NULL
),

page AS (
    SELECT n.id
    FROM newest AS n
    CROSS JOIN
        LATERAL (
            SELECT s.start_time, s.end_time
            FROM appointment_slots AS s
            WHERE s.id = n.slot_id
            ORDER BY s.id
            LIMIT 1
        ) AS s
    WHERE
        (s.end_time <= now() OR n.status = 'CANCELLED')
        AND (s.start_time, n.id) < (:before_time::timestamptz, :before_id::bigint)
    ORDER BY s.start_time DESC, n.id DESC
    LIMIT :limit::integer
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.start_time DESC, b.id DESC;
