-- name: lock_doctors
-- Takes the locks of doctors whose slots will be added or moved, in id order.
-- Without these locks, two transactions that add overlapping slots wait for each other in the exclusion constraint, and
-- PostgreSQL must break a deadlock before it can say which slots overlap.
SELECT d.id, clock_timestamp() AS now
FROM doctors AS d
WHERE d.id = any(:doctor_ids::bigint[])
ORDER BY d.id
FOR NO KEY UPDATE;

-- name: make_room
-- Keeps visits from being carved out of the open time of doctors in a period, and closes the empty slots there. Needs
-- the locks of the doctors.
SELECT make_room(:doctor_ids::bigint[], :starts_from::timestamptz, :ends_before::timestamptz) IS NULL AS done;

-- name: create_slots
-- Adds slots, each with the first row of its ledger. `slot_overlaps` refuses a doctor's overlapping open slots.
WITH wanted AS (
    SELECT w.*, nextval('appointment_slots_id_seq') AS id
    FROM unnest(
            :doctor_ids::bigint[],
            :clinic_ids::bigint[],
            :start_times::timestamptz[],
            :end_times::timestamptz[],
            :total_seats::integer[]
        ) WITH ORDINALITY AS w (doctor_id, clinic_id, start_time, end_time, total_seats, position)
),

written AS (
    INSERT INTO appointment_slots (
        id, doctor_id, clinic_id, start_time, end_time, total_seats, available_seats, visit_type_ids
    )
    SELECT
        w.id,
        w.doctor_id,
        w.clinic_id,
        w.start_time,
        w.end_time,
        w.total_seats,
        w.total_seats,
        :visit_type_ids::bigint[]
    FROM wanted AS w
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT w.id, 1, 'CREATED', NULL, w.total_seats, w.total_seats, w.total_seats, :actor::text, clock_timestamp()
    FROM wanted AS w
)

SELECT w.id
FROM wanted AS w
ORDER BY w.position;

-- name: list_clashes
-- Finds the wanted periods that overlap a slot that takes the doctor's time, each with the first such slot.
-- Looks them up one by one along the index of `slot_overlaps`: the limit in `find_overlapped` keeps the planner from
-- reading all slots for a join.
SELECT w.position::integer AS position, s.id, s.start_time, s.end_time, s.closed
FROM unnest(:start_times::timestamptz[], :busy_until::timestamptz[])
    WITH ORDINALITY AS w (start_time, busy_until, position)
CROSS JOIN LATERAL find_overlapped(:doctor_id::bigint, w.start_time, w.busy_until, 0) AS s
ORDER BY w.position;

-- name: get_slot
-- Reads a slot.
SELECT s.slot_columns
FROM slots_now AS s
WHERE s.id = :slot_id::bigint;

-- name: get_changed_slot
-- Reads a slot that is about to be changed, and how many of its seats were added by overbooking.
SELECT s.slot_columns, t.added_seats
FROM slots_now AS s
INNER JOIN appointment_slots AS t ON s.id = t.id
WHERE s.id = :slot_id::bigint;

-- name: get_slots
-- Reads those of some slots that there are.
SELECT s.slot_columns
FROM slots_now AS s
WHERE s.id = any(:slot_ids::bigint[]);

-- name: get_offer
-- Tells whether patients can book a slot, and whether some of its seats can be booked now; for one visit type if given.
SELECT o.open, o.open AND o.start_time > now() AND o.available_seats >= :seats::integer AS free
FROM (
    SELECT
        s.start_time,
        s.available_seats,
        exists(
            SELECT 1 FROM open_slots_for(:visit_type_id::bigint, FALSE) AS b WHERE b.id = s.id
        ) AS open
    FROM slots_now AS s
    WHERE s.id = :slot_id::bigint
) AS o;

-- name: list_slots_of_visit_type
-- A page of the slots on offer that can be booked for one visit type; otherwise like `list_slots`.
-- A walk by start would pass all slots without a rare type. So only the next 1,000 slots are looked at this way, which
-- are enough for a page of a common type. If they are not, the page comes from `slots_on_offer_by_types`: each doctor
-- who offers the type is found by one look, and the walks end as in `list_slots_of_specialization`.
-- For patients all begin after the notice of the type and end with its horizon: only in order to read less.
WITH RECURSIVE place AS (
    SELECT
        greatest(:after_time::timestamptz, n.starts_from) AS start_time,
        CASE WHEN :after_time::timestamptz >= n.starts_from THEN :after_id::bigint ELSE 9223372036854775807 END AS id,
        least(:starts_before::timestamptz, n.starts_before) AS starts_before
    FROM (
        SELECT
            now()
            + make_interval(mins => CASE WHEN :by_desk::boolean THEN 0 ELSE coalesce(t.min_notice_minutes, 0) END)
                AS starts_from,
            now() + make_interval(hours => CASE WHEN NOT :by_desk::boolean THEN 24 * t.horizon_days END, secs => 1)
                AS starts_before
        FROM visit_types AS t
        WHERE t.id = :visit_type_id::bigint
    ) AS n
),

near AS (
    SELECT n.id, n.start_time
    FROM (
        SELECT s.id, s.start_time, s.doctor_id, s.visit_type_ids
        FROM appointment_slots AS s
        WHERE
            s.status = 'OPEN'
            AND s.has_free_seat
            AND (s.start_time, s.id) > ((SELECT p.start_time FROM place AS p), (SELECT p.id FROM place AS p))
            AND s.start_time < (SELECT p.starts_before FROM place AS p)
        ORDER BY s.start_time, s.id
        LIMIT 1000
    ) AS n
    CROSS JOIN
        LATERAL (
            SELECT s.id
            FROM open_slots_for(:visit_type_id::bigint, :by_desk::boolean) AS s
            WHERE
                s.id = n.id
                AND s.available_seats >= :min_seats::integer
                AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
            ORDER BY s.id
            LIMIT 1
        ) AS o
    WHERE
        :visit_type_id::bigint = any(n.visit_type_ids)
        AND (
            :specialization::text IS NULL
            OR n.doctor_id IN (SELECT d.id FROM doctors AS d WHERE d.specialization ~ :specialization::text)
        )
    ORDER BY n.start_time, n.id
    LIMIT :limit::integer
),

-- The types that a doctor offers together at a clinic. Of those without the type only one doctor is looked at.
offers AS (
    (
        SELECT s.visit_type_ids, s.clinic_id, s.doctor_id
        FROM appointment_slots AS s
        WHERE
            s.status = 'OPEN'
            AND s.has_free_seat
            AND s.visit_type_ids IS NOT NULL
            AND (SELECT count(*) FROM near) < :limit::integer
        ORDER BY s.visit_type_ids, s.clinic_id, s.doctor_id
        LIMIT 1
    )
    UNION ALL
    SELECT n.visit_type_ids, n.clinic_id, n.doctor_id
    FROM offers AS o
    CROSS JOIN LATERAL (
        SELECT s.visit_type_ids, s.clinic_id, s.doctor_id
        FROM appointment_slots AS s
        WHERE
            s.status = 'OPEN'
            AND s.has_free_seat
            AND s.visit_type_ids IS NOT NULL
            AND (s.visit_type_ids, s.clinic_id, s.doctor_id) > (
                o.visit_type_ids,
                CASE
                    WHEN :visit_type_id::bigint = any(o.visit_type_ids) THEN o.clinic_id ELSE 9223372036854775807
                END,
                o.doctor_id
            )
        ORDER BY s.visit_type_ids, s.clinic_id, s.doctor_id
        LIMIT 1
    ) AS n
),

theirs AS MATERIALIZED (
    SELECT o.visit_type_ids, o.clinic_id, o.doctor_id
    FROM offers AS o
    INNER JOIN doctors AS d ON o.doctor_id = d.id
    WHERE
        :visit_type_id::bigint = any(o.visit_type_ids)
        AND (:clinic_ids::bigint[] IS NULL OR o.clinic_id = any(:clinic_ids::bigint[]))
        AND d.active
        AND (:specialization::text IS NULL OR d.specialization ~ :specialization::text)
),

quota AS (
    SELECT :limit::integer / greatest(count(*), 1) + 1 AS slots FROM theirs
),

first_ones AS (
    SELECT s.start_time
    FROM place AS p
    CROSS JOIN theirs AS t
    CROSS JOIN LATERAL (
        SELECT s.start_time
        FROM open_slots_for(:visit_type_id::bigint, :by_desk::boolean) AS s
        WHERE
            s.visit_type_ids = t.visit_type_ids
            AND s.clinic_id = t.clinic_id
            AND s.doctor_id = t.doctor_id
            AND s.has_free_seat
            AND s.available_seats >= :min_seats::integer
            AND (s.start_time, s.id) > (p.start_time, p.id)
            AND s.start_time < p.starts_before
        ORDER BY s.start_time, s.id
        LIMIT (SELECT q.slots FROM quota AS q)
    ) AS s
),

last_start AS (
    SELECT CASE WHEN count(*) = :limit::integer THEN max(f.start_time) ELSE 'infinity' END AS start_time
    FROM (SELECT f.start_time FROM first_ones AS f ORDER BY f.start_time LIMIT :limit::integer) AS f
),

far AS (
    SELECT s.id, s.start_time
    FROM place AS p
    CROSS JOIN theirs AS t
    CROSS JOIN LATERAL (
        SELECT s.id, s.start_time
        FROM open_slots_for(:visit_type_id::bigint, :by_desk::boolean) AS s
        WHERE
            s.visit_type_ids = t.visit_type_ids
            AND s.clinic_id = t.clinic_id
            AND s.doctor_id = t.doctor_id
            AND s.has_free_seat
            AND s.available_seats >= :min_seats::integer
            AND (s.start_time, s.id) > (p.start_time, p.id)
            AND s.start_time < p.starts_before
            AND s.start_time <= (SELECT l.start_time FROM last_start AS l)
        ORDER BY s.start_time, s.id
        LIMIT :limit::integer
    ) AS s
),

with_freed_seats AS (
    SELECT s.id, s.start_time
    FROM overdue_slots_for(:visit_type_id::bigint, :by_desk::boolean) AS s
    WHERE
        s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND (s.start_time, s.id) > (:after_time::timestamptz, :after_id::bigint)
        AND s.start_time < :starts_before::timestamptz
        AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
        AND (:specialization::text IS NULL OR s.specialization ~ :specialization::text)
),

page AS (
    SELECT o.id
    FROM (
        -- The near ones are among the others, if these were read.
        SELECT n.id, n.start_time FROM near AS n
        UNION
        SELECT f.id, f.start_time FROM far AS f
        UNION
        SELECT f.id, f.start_time FROM with_freed_seats AS f
    ) AS o
    ORDER BY o.start_time, o.id
    LIMIT :limit::integer
)

SELECT s.slot_columns
FROM slots_now AS s
WHERE s.id IN (SELECT p.id FROM page AS p)
ORDER BY s.start_time, s.id;

-- name: list_slots
-- A page of the slots on offer to patients or to the desk, by start.
-- Two branches: slots whose counter has a free seat, by a walk along `slots_on_offer`; and the few that have one only
-- because a hold is overdue. Together they are the slots that `hold_seats` would accept. The limit of 501 (a page and
-- one more) is a number: for a parameter, the planner expects a tenth of the table and sorts all of it. The page
-- before and now() are combined into one position: with two conditions, the walk might not begin at the later one.
WITH with_free_seats AS (
    SELECT s.id, s.start_time
    FROM open_slots_for(NULL, :by_desk::boolean) AS s
    WHERE
        s.has_free_seat
        AND (s.start_time, s.id) > (
            greatest(:after_time::timestamptz, now()),
            CASE WHEN :after_time::timestamptz > now() THEN :after_id::bigint ELSE 9223372036854775807 END
        )
        AND s.start_time < :starts_before::timestamptz
    ORDER BY s.start_time, s.id
    LIMIT 501
),

with_freed_seats AS (
    SELECT s.id, s.start_time
    FROM overdue_slots_for(NULL, :by_desk::boolean) AS s
    WHERE
        s.available_seats = 0
        AND s.overdue_seats > 0
        AND (s.start_time, s.id) > (:after_time::timestamptz, :after_id::bigint)
        AND s.start_time < :starts_before::timestamptz
),

page AS (
    SELECT o.id
    FROM (
        SELECT f.id, f.start_time FROM with_free_seats AS f
        UNION ALL
        SELECT f.id, f.start_time FROM with_freed_seats AS f
    ) AS o
    ORDER BY o.start_time, o.id
    LIMIT :limit::integer
)

SELECT s.slot_columns
FROM slots_now AS s
WHERE s.id IN (SELECT p.id FROM page AS p)
ORDER BY s.start_time, s.id;

-- name: list_slots_of_size
-- A page of the slots on offer with at least `min_seats` free seats, two or more; otherwise like `list_slots`.
-- Most slots are for one person, so a walk by start would pass all of these before it finds a rare large one. Instead
-- each size class that can have enough seats is walked separately. 8 is the last class of `seats_class`.
WITH with_free_seats AS (
    SELECT s.id, s.start_time
    FROM generate_series(seats_class(:min_seats::integer), 8) AS size (class)
    CROSS JOIN LATERAL (
        SELECT s.id, s.start_time
        FROM open_slots_for(NULL, :by_desk::boolean) AS s
        WHERE
            seats_class(s.total_seats) = size.class
            AND s.has_free_seat
            AND s.available_seats >= :min_seats::integer
            AND (s.start_time, s.id) > (
                greatest(:after_time::timestamptz, now()),
                CASE WHEN :after_time::timestamptz > now() THEN :after_id::bigint ELSE 9223372036854775807 END
            )
            AND s.start_time < :starts_before::timestamptz
        ORDER BY s.start_time, s.id
        LIMIT :limit::integer
    ) AS s
),

with_freed_seats AS (
    SELECT s.id, s.start_time
    FROM overdue_slots_for(NULL, :by_desk::boolean) AS s
    WHERE
        s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND (s.start_time, s.id) > (:after_time::timestamptz, :after_id::bigint)
        AND s.start_time < :starts_before::timestamptz
),

page AS (
    SELECT o.id
    FROM (
        SELECT f.id, f.start_time FROM with_free_seats AS f
        UNION ALL
        SELECT f.id, f.start_time FROM with_freed_seats AS f
    ) AS o
    ORDER BY o.start_time, o.id
    LIMIT :limit::integer
)

SELECT s.slot_columns
FROM slots_now AS s
WHERE s.id IN (SELECT p.id FROM page AS p)
ORDER BY s.start_time, s.id;

-- name: list_slots_of_doctor
-- A page of one doctor's slots on offer, none if another specialization is given; at some clinics and for one visit
-- type, if these are given; otherwise like `list_slots`.
WITH with_free_seats AS (
    SELECT s.id, s.start_time
    FROM open_slots_for(:visit_type_id::bigint, :by_desk::boolean) AS s
    WHERE
        s.doctor_id = :doctor_id::bigint
        AND (:specialization::text IS NULL OR s.specialization ~ :specialization::text)
        AND s.has_free_seat
        AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
        AND s.available_seats >= :min_seats::integer
        AND (s.start_time, s.id) > (
            greatest(:after_time::timestamptz, now()),
            CASE WHEN :after_time::timestamptz > now() THEN :after_id::bigint ELSE 9223372036854775807 END
        )
        AND s.start_time < :starts_before::timestamptz
    ORDER BY s.start_time, s.id
    LIMIT 501
),

with_freed_seats AS (
    SELECT s.id, s.start_time
    FROM overdue_slots_for(:visit_type_id::bigint, :by_desk::boolean) AS s
    WHERE
        s.doctor_id = :doctor_id::bigint
        AND (:specialization::text IS NULL OR s.specialization ~ :specialization::text)
        AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
        AND s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND (s.start_time, s.id) > (:after_time::timestamptz, :after_id::bigint)
        AND s.start_time < :starts_before::timestamptz
),

page AS (
    SELECT o.id
    FROM (
        SELECT f.id, f.start_time FROM with_free_seats AS f
        UNION ALL
        SELECT f.id, f.start_time FROM with_freed_seats AS f
    ) AS o
    ORDER BY o.start_time, o.id
    LIMIT :limit::integer
)

SELECT s.slot_columns
FROM slots_now AS s
WHERE s.id IN (SELECT p.id FROM page AS p)
ORDER BY s.start_time, s.id;

-- name: list_slots_of_clinics
-- A page of the slots on offer at some clinics; otherwise like `list_slots`.
-- A walk by start would pass the slots of all other clinics before it finds those of a small one. Instead each clinic
-- is walked separately, along `slots_on_offer_by_clinic`. Rows that begin with the clinic are compared: with `=` on the
-- clinic, the planner may walk all slots by start.
WITH with_free_seats AS (
    SELECT s.id, s.start_time
    FROM unnest(:clinic_ids::bigint[]) AS c (id)
    CROSS JOIN LATERAL (
        SELECT s.id, s.start_time
        FROM open_slots_for(NULL, :by_desk::boolean) AS s
        WHERE
            s.has_free_seat
            AND s.available_seats >= :min_seats::integer
            AND (s.clinic_id, s.start_time, s.id) > (
                c.id,
                greatest(:after_time::timestamptz, now()),
                CASE WHEN :after_time::timestamptz > now() THEN :after_id::bigint ELSE 9223372036854775807 END
            )
            AND (s.clinic_id, s.start_time, s.id) < (c.id, :starts_before::timestamptz, 0)
        ORDER BY s.clinic_id, s.start_time, s.id
        LIMIT :limit::integer
    ) AS s
),

with_freed_seats AS (
    SELECT s.id, s.start_time
    FROM overdue_slots_for(NULL, :by_desk::boolean) AS s
    WHERE
        s.clinic_id = any(:clinic_ids::bigint[])
        AND s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND (s.start_time, s.id) > (:after_time::timestamptz, :after_id::bigint)
        AND s.start_time < :starts_before::timestamptz
),

page AS (
    SELECT o.id
    FROM (
        SELECT f.id, f.start_time FROM with_free_seats AS f
        UNION ALL
        SELECT f.id, f.start_time FROM with_freed_seats AS f
    ) AS o
    ORDER BY o.start_time, o.id
    LIMIT :limit::integer
)

SELECT s.slot_columns
FROM slots_now AS s
WHERE s.id IN (SELECT p.id FROM page AS p)
ORDER BY s.start_time, s.id;

-- name: list_slots_of_specialization
-- A page of the slots on offer of one specialization's doctors; at some clinics, if these are given; otherwise like
-- `list_slots`.
-- A walk by start would pass the slots of all other doctors before it finds those of a rare specialization. Instead the
-- first slots of each doctor, together a page, show where the page ends at the latest. Then each doctor's slots up to
-- there are read.
-- At a small clinic, this would pass all that its doctors offer elsewhere. So the next 1,000 slots of the clinics are
-- looked at first. The walk by doctor follows only if there are more, and too few of these match.
WITH doctors_of_it AS MATERIALIZED (
    SELECT d.id FROM doctors AS d
    WHERE d.specialization ~ :specialization::text AND d.active
),

looked_at AS MATERIALIZED (
    SELECT n.id, n.start_time, n.doctor_id
    FROM unnest(:clinic_ids::bigint[]) AS c (id)
    CROSS JOIN
        LATERAL (
            SELECT s.id, s.start_time, s.doctor_id
            FROM appointment_slots AS s
            WHERE
                s.status = 'OPEN'
                AND s.has_free_seat
                AND (s.clinic_id, s.start_time, s.id) > (
                    c.id,
                    greatest(:after_time::timestamptz, now()),
                    CASE WHEN :after_time::timestamptz > now() THEN :after_id::bigint ELSE 9223372036854775807 END
                )
                AND (s.clinic_id, s.start_time, s.id) < (c.id, :starts_before::timestamptz, 0)
            ORDER BY s.clinic_id, s.start_time, s.id
            LIMIT 1000
        ) AS n
    ORDER BY n.start_time, n.id
    LIMIT 1000
),

near AS MATERIALIZED (
    SELECT n.id, n.start_time
    FROM looked_at AS n
    CROSS JOIN
        LATERAL (
            SELECT s.id
            FROM open_slots_for(NULL, :by_desk::boolean) AS s
            WHERE s.id = n.id AND s.available_seats >= :min_seats::integer
            ORDER BY s.id
            LIMIT 1
        ) AS o
    WHERE n.doctor_id IN (SELECT d.id FROM doctors_of_it AS d)
    ORDER BY n.start_time, n.id
    LIMIT :limit::integer
),

theirs AS MATERIALIZED (
    SELECT d.id FROM doctors_of_it AS d
    WHERE
        :clinic_ids::bigint[] IS NULL
        OR ((SELECT count(*) FROM looked_at) = 1000 AND (SELECT count(*) FROM near) < :limit::integer)
),

quota AS (
    SELECT :limit::integer / greatest(count(*), 1) + 1 AS slots FROM theirs
),

first_ones AS (
    SELECT s.start_time
    FROM theirs AS t
    CROSS JOIN LATERAL (
        SELECT s.start_time
        FROM open_slots_for(NULL, :by_desk::boolean) AS s
        WHERE
            s.doctor_id = t.id
            AND s.has_free_seat
            AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
            AND s.available_seats >= :min_seats::integer
            AND (s.start_time, s.id) > (
                greatest(:after_time::timestamptz, now()),
                CASE WHEN :after_time::timestamptz > now() THEN :after_id::bigint ELSE 9223372036854775807 END
            )
            AND s.start_time < :starts_before::timestamptz
        ORDER BY s.start_time, s.id
        LIMIT (SELECT q.slots FROM quota AS q)
    ) AS s
),

last_start AS (
    SELECT CASE WHEN count(*) = :limit::integer THEN max(f.start_time) ELSE 'infinity' END AS start_time
    FROM (SELECT f.start_time FROM first_ones AS f ORDER BY f.start_time LIMIT :limit::integer) AS f
),

with_free_seats AS (
    SELECT s.id, s.start_time
    FROM theirs AS t
    CROSS JOIN LATERAL (
        SELECT s.id, s.start_time
        FROM open_slots_for(NULL, :by_desk::boolean) AS s
        WHERE
            s.doctor_id = t.id
            AND s.has_free_seat
            AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
            AND s.available_seats >= :min_seats::integer
            AND (s.start_time, s.id) > (
                greatest(:after_time::timestamptz, now()),
                CASE WHEN :after_time::timestamptz > now() THEN :after_id::bigint ELSE 9223372036854775807 END
            )
            AND s.start_time < :starts_before::timestamptz
            AND s.start_time <= (SELECT l.start_time FROM last_start AS l)
        ORDER BY s.start_time, s.id
        LIMIT :limit::integer
    ) AS s
),

with_freed_seats AS (
    SELECT s.id, s.start_time
    FROM overdue_slots_for(NULL, :by_desk::boolean) AS s
    WHERE
        s.doctor_id IN (SELECT d.id FROM doctors_of_it AS d)
        AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
        AND s.available_seats < :min_seats::integer
        AND s.available_seats + s.overdue_seats >= :min_seats::integer
        AND (s.start_time, s.id) > (:after_time::timestamptz, :after_id::bigint)
        AND s.start_time < :starts_before::timestamptz
),

page AS (
    SELECT o.id
    FROM (
        -- The near ones are among the others, if these were read.
        SELECT n.id, n.start_time FROM near AS n
        UNION
        SELECT f.id, f.start_time FROM with_free_seats AS f
        UNION
        SELECT f.id, f.start_time FROM with_freed_seats AS f
    ) AS o
    ORDER BY o.start_time, o.id
    LIMIT :limit::integer
)

SELECT s.slot_columns
FROM slots_now AS s
WHERE s.id IN (SELECT p.id FROM page AS p)
ORDER BY s.start_time, s.id;

-- name: list_week
-- Lists a doctor's slots that take place in a period, open or closed, with the seats of live holds; at some clinics, if
-- these are given. An empty slot that was carved out of a window is not listed: it is open time again.
-- A seat that is neither free nor held is confirmed, so no confirmed booking is read.
WITH slots AS (
    SELECT
        s.id,
        s.start_time,
        s.end_time,
        s.total_seats,
        s.available_seats + p.overdue AS available_seats,
        p.held AS held_seats,
        s.status,
        s.added_seats,
        s.clinic_id
    FROM (
        SELECT s.id, s.start_time, s.end_time, s.total_seats, s.available_seats, s.status, s.added_seats, s.clinic_id
        FROM slots_in_period(:doctor_id::bigint, :starts_from::timestamptz, :starts_before::timestamptz) AS s
        WHERE
            (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
            AND (s.window_id IS NULL OR s.available_seats < s.total_seats)
        ORDER BY s.start_time, s.id
        LIMIT :limit::integer
    ) AS s
    CROSS JOIN LATERAL (
        SELECT
            coalesce(sum(b.seats_booked) FILTER (WHERE b.expires_at <= now()), 0)::integer AS overdue,
            coalesce(sum(b.seats_booked) FILTER (WHERE b.expires_at > now()), 0)::integer AS held
        FROM (
            SELECT b.seats_booked, b.expires_at
            FROM bookings AS b
            WHERE b.slot_id = s.id AND b.status = 'PENDING'
            ORDER BY b.expires_at
            LIMIT 2147483647
        ) AS b
    ) AS p
)

SELECT
    s.id,
    s.start_time,
    s.end_time,
    s.total_seats,
    s.available_seats,
    s.held_seats,
    s.total_seats - s.available_seats - s.held_seats AS confirmed_seats,
    s.status,
    s.added_seats,
    s.clinic_id
FROM slots AS s
ORDER BY s.start_time, s.id;

-- name: list_affected_bookings
-- Lists the live bookings of a slot, oldest first: those that a change of the slot affects.
-- Live holds have their own index, so that the many expired ones are not read. For the same reason it reads no more
-- confirmed bookings than seats are taken, so none if all are free. It compares a row instead of using `=` for the
-- reason given with `list_bookings_of_slots`.
WITH live AS (
    SELECT c.id
    FROM appointment_slots AS s
    CROSS JOIN
        LATERAL (
            SELECT b.id
            FROM bookings AS b
            WHERE
                b.slot_id <= s.id
                AND (b.slot_id, b.id) > (s.id, 0)
                AND b.status = 'CONFIRMED'
            ORDER BY b.slot_id, b.id
            LIMIT least(501, s.total_seats - s.available_seats)
        ) AS c
    WHERE s.id = :slot_id::bigint
    UNION ALL
    SELECT h.id
    FROM (
        SELECT b.id
        FROM bookings AS b
        WHERE b.slot_id = :slot_id::bigint AND b.status = 'PENDING' AND b.expires_at > now()
        ORDER BY b.expires_at
        LIMIT 501
    ) AS h
),

page AS (
    SELECT l.id FROM live AS l
    ORDER BY l.id
    LIMIT :limit::integer
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT p.id FROM page AS p)
ORDER BY b.id;

-- name: get_newest_booking
-- Finds the id of a slot's newest booking of any status; 0 if there is none.
-- It compares a row that begins with the slot: with `=` on the slot, the planner might walk all bookings by id until it
-- meets one of the slot.
SELECT
    coalesce(
        (
            SELECT b.id
            FROM bookings AS b
            WHERE b.slot_id >= :slot_id::bigint AND (b.slot_id, b.id) <= (:slot_id::bigint, 9223372036854775807)
            ORDER BY b.slot_id DESC, b.id DESC
            LIMIT 1
        ),
        0
    ) AS id;

-- name: update_slot
-- Changes a slot if it is still as it was read; otherwise returns the reason.
SELECT
    u.outcome, u.taken, u.overlapped_start, u.overlapped_end, u.overlapped_closed, u.expired_holds,
    u.updated_at
FROM update_slot(
        slot_id => :slot_id::bigint,
        old_start_time => :old_start_time::timestamptz,
        old_end_time => :old_end_time::timestamptz,
        old_total_seats => :old_total_seats::integer,
        old_status => :old_status::text,
        start_time => :start_time::timestamptz,
        end_time => :end_time::timestamptz,
        total_seats => :total_seats::integer,
        status => :status::text,
        kinds => :kinds::text[],
        newest_booking => :newest_booking::bigint,
        dry_run => :dry_run::boolean,
        actor => :actor::text,
        details => :details::text,
        request_id => :request_id::text
    ) AS u;
