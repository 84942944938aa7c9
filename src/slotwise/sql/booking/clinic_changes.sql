-- name: list_clinic_changes
-- Reads what the clinic did to some bookings: the times that they were made for, if it moved them since, and whether it
-- cancelled them.
-- The ledger has neither the old times nor whose the canceller's e-mail address is, so this reads the audit log, where
-- every change of a slot and every cancellation at the desk is noted. Changes of one slot and its bookings are made
-- under its lock and in order of time, so a move after the booking has a later time. The first note of a kind has the
-- value that the booking was made for. A person at the desk who cancels the own appointment does so as a patient; the
-- e-mail address decides, because the desk also books for others.
SELECT
    b.id AS booking_id,
    start.was AS booked_start,
    length.was AS booked_minutes,
    b.status = 'CANCELLED' AND EXISTS (
        SELECT 1
        FROM audit_log AS a
        WHERE
            a.subject = 'booking:' || b.id
            AND a.action = 'cancel_booking'
            AND NOT EXISTS (
                SELECT 1
                FROM users AS u
                WHERE
                    u.id = b.user_id
                    AND a.actor = 'user:' || u.id
                    AND email_key(u.email) = email_key(b.user_email)
            )
    ) AS cancelled
FROM bookings AS b
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
