-- name: list_clinic_changes
-- Reads what the clinic did to some bookings: the times and the doctor that they were made for, if it changed them
-- since, and whether it cancelled them.
-- This reads the audit log, which notes every change of a slot and every cancellation at the desk: the ledger has no
-- old times. Changes of one slot and its bookings are made under its lock and in order of time, so a move after the
-- booking has a later time. The first note of a kind has the value that the booking was made for.
-- A person at the desk who cancels their own appointment does so as a patient. An appointment is their own if it has
-- their account and their e-mail address, because the desk also books for others; a hold without an address needs only
-- the account. A cancellation that the patient asked for is not the clinic's.
SELECT
    b.id AS booking_id,
    start.was AS booked_start,
    length.was AS booked_minutes,
    (
        SELECT o.name FROM doctors AS o
        WHERE o.id = doctor.was AND o.id <> s.doctor_id
    ) AS booked_doctor,
    (SELECT d.name FROM doctors AS d WHERE d.id = s.doctor_id) AS doctor_name,
    b.status = 'CANCELLED' AND EXISTS (
        SELECT 1
        FROM audit_log AS a
        WHERE
            a.subject = 'booking:' || b.id
            AND a.action = 'cancel_booking'
            AND a.details ? 'status'
            AND NOT EXISTS (
                SELECT 1
                FROM users AS u
                WHERE
                    u.id = b.user_id
                    AND a.actor = 'user:' || u.id
                    AND coalesce(email_key(u.email) = email_key(b.user_email), TRUE)
            )
    ) AND NOT EXISTS (
        SELECT 1
        FROM audit_log AS a
        WHERE a.subject = 'booking:' || b.id AND a.action = 'note_patients_wish'
    ) AS cancelled
FROM bookings AS b
INNER JOIN appointment_slots AS s ON b.slot_id = s.id
LEFT JOIN LATERAL (
    SELECT (a.details #>> '{doctor_id,0}')::bigint AS was
    FROM audit_log AS a
    WHERE a.subject = 'slot:' || b.slot_id AND a.created_at >= b.created_at AND a.action = 'take_over_slot'
    ORDER BY a.created_at, a.id
    LIMIT 1
) AS doctor ON TRUE
LEFT JOIN LATERAL (
    SELECT (a.details #>> '{start_time,0}')::timestamptz AS was
    FROM audit_log AS a
    WHERE
        a.subject = 'slot:' || b.slot_id
        AND a.created_at >= b.created_at
        AND a.action = 'update_slot'
        AND a.details ? 'start_time'
    ORDER BY a.created_at, a.id
    LIMIT 1
) AS start ON TRUE
LEFT JOIN LATERAL (
    SELECT (a.details #>> '{duration_minutes,0}')::integer AS was
    FROM audit_log AS a
    WHERE
        a.subject = 'slot:' || b.slot_id
        AND a.created_at >= b.created_at
        AND a.action = 'update_slot'
        AND a.details ? 'duration_minutes'
    ORDER BY a.created_at, a.id
    LIMIT 1
) AS length ON TRUE
WHERE b.id = any(:booking_ids::bigint[]);

-- name: list_cancelled_bookings
-- Lists the appointments of some slots that a patient or the clinic cancelled, by slot, oldest first.
-- A slot may have any number of bookings, so each gets its share of `looked_at`. It compares a row instead of using `=`
-- for the reason given with `list_bookings_of_slots`.
WITH found AS (
    SELECT c.id
    FROM unnest(:slot_ids::bigint[]) AS w (slot_id)
    CROSS JOIN LATERAL (
        SELECT l.slot_id, l.id
        FROM (
            SELECT b.slot_id, b.id, b.status, b.confirmed_at, b.user_email
            FROM bookings AS b
            WHERE b.slot_id >= w.slot_id AND (b.slot_id, b.id) <= (w.slot_id, 9223372036854775807)
            ORDER BY b.slot_id DESC, b.id DESC
            LIMIT :looked_at::integer / greatest(cardinality(:slot_ids::bigint[]), 1)
        ) AS l
        -- A released hold was no appointment, and a person whose data are erased cannot be told.
        WHERE l.status = 'CANCELLED' AND l.confirmed_at IS NOT NULL AND l.user_email <> 'erased@erased.invalid'
        ORDER BY l.slot_id DESC, l.id DESC
        LIMIT :limit::integer
    ) AS c
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT f.id FROM found AS f)
ORDER BY b.slot_id, b.id
LIMIT :limit::integer;

-- name: list_slots_of_closure
-- Lists slots in the time of a closure, also of one that was undone. Without a slot the closure itself is one row.
-- A slot is at most a day long.
SELECT s.id AS slot_id
FROM closures AS c
LEFT JOIN LATERAL (
    SELECT f.id
    FROM doctors AS d
    CROSS JOIN
        LATERAL (
            SELECT
                o.id,
                o.start_time
            FROM appointment_slots AS o
            WHERE
                o.doctor_id = d.id
                AND o.start_time > c.start_time - interval '1 day'
                AND o.start_time < c.end_time
                AND o.end_time > c.start_time
                AND (c.clinic_id IS NULL OR o.clinic_id = c.clinic_id)
            ORDER BY o.doctor_id, o.start_time, o.id
            LIMIT 2147483647
        ) AS f
    WHERE c.doctor_id IS NULL OR d.id = c.doctor_id
    ORDER BY f.start_time, f.id
    LIMIT :limit::integer
) AS s ON TRUE
WHERE c.id = :closure_id::bigint;

-- name: list_taken_slots
-- Lists the slots in the time of a closure that a colleague has taken over, each with the first time when.
SELECT w.slot_id::bigint AS slot_id, min(a.created_at) AS taken_at
FROM audit_log AS a
CROSS JOIN LATERAL jsonb_array_elements_text(a.details -> 'slots') AS w (slot_id)
WHERE a.subject = 'closure:' || :closure_id::bigint AND a.action = 'take_over_slots'
GROUP BY w.slot_id
ORDER BY w.slot_id
LIMIT :limit::integer;

-- name: list_taken_over
-- Lists the confirmed bookings of some slots that were made before a colleague took these over, by slot. A person whose
-- data are erased cannot be told. It compares a row instead of using `=` for the reason given with
-- `list_bookings_of_slots`.
WITH found AS (
    SELECT c.id
    FROM unnest(:slot_ids::bigint[], :taken_at::timestamptz[]) AS w (slot_id, taken_at)
    CROSS JOIN LATERAL (
        SELECT b.id
        FROM bookings AS b
        WHERE
            b.slot_id >= w.slot_id
            AND (b.slot_id, b.id) <= (w.slot_id, 9223372036854775807)
            AND b.status = 'CONFIRMED'
            AND b.created_at < w.taken_at
            AND b.user_email <> 'erased@erased.invalid'
        ORDER BY b.slot_id DESC, b.id DESC
        LIMIT :limit::integer
    ) AS c
)

SELECT b.booking_columns
FROM bookings_now AS b
WHERE b.id IN (SELECT f.id FROM found AS f)
ORDER BY b.slot_id, b.id
LIMIT :limit::integer;

-- name: list_told
-- Reads who has told the patients of some bookings, and when; the first note of each.
SELECT
    w.booking_id,
    n.created_at AS told_at,
    (
        SELECT u.name FROM users AS u
        WHERE u.id = CASE WHEN n.actor ~ '^user:[0-9]{1,18}$' THEN substr(n.actor, 6)::bigint END
    ) AS told_by
FROM unnest(:booking_ids::bigint[]) AS w (booking_id)
CROSS JOIN LATERAL (
    SELECT a.actor, a.created_at
    FROM audit_log AS a
    WHERE a.subject = 'booking:' || w.booking_id AND a.action = 'note_patients_told'
    ORDER BY a.created_at, a.id
    LIMIT 1
) AS n;

-- name: note_patients_told
-- Notes that the patients of some bookings were told, unless that is noted already.
INSERT INTO audit_log (actor, action, subject, request_id)
SELECT
    :actor::text,
    'note_patients_told',
    'booking:' || w.booking_id,
    :request_id::text
FROM unnest(:booking_ids::bigint[]) AS w (booking_id)
WHERE NOT EXISTS (
        SELECT 1 FROM audit_log AS a
        WHERE a.subject = 'booking:' || w.booking_id AND a.action = 'note_patients_told'
    );
