-- name: read_claimed_entry
-- Reads a booking as an entry of a calendar, and what a caller's claim to it is checked against.
-- RFC 5546, 2.1.4: the sequence grows with each change of the times and of the status, and here with each change of
-- what the entry says: of the doctor, of the doctor's name and specialization, of the visit type, and of any clinic,
-- because the clinic's name is only told where there are several. All changes of one slot are made under its lock and
-- in order of time, so a move after the booking has a later time. The other changes are not in that order, so those
-- before the booking count too: the sequence need not begin at zero, but must never stay the same. It must not fall
-- either when a colleague takes over, so the changes of the doctors before count on.
SELECT
    r.manage_token_hash,
    b.status,
    b.seats_booked,
    b.doctor_name,
    b.specialization,
    b.start_time,
    b.end_time,
    b.created_at,
    greatest(b.updated_at, moves.newest, renames.newest, places.newest, v.updated_at) AS changed_at,
    clock_timestamp() AS read_at,
    moves.number
    + renames.number
    + places.number
    + coalesce(v.version, 0)::integer
    + (b.expires_at IS NOT NULL AND b.confirmed_at IS NOT NULL)::integer
    + (b.status IN ('CANCELLED', 'FAILED'))::integer AS sequence,
    b.user_id,
    b.user_email,
    b.clinic_id
FROM bookings AS r
INNER JOIN bookings_now AS b ON r.id = b.id
CROSS JOIN
    LATERAL (
        SELECT count(*)::integer AS number, max(e.created_at) AS newest
        FROM booking_events AS e
        WHERE e.slot_id = b.slot_id AND e.booking_id IS NULL AND e.kind = 'MOVED' AND e.created_at > b.created_at
    ) AS moves
CROSS JOIN
    LATERAL (
        SELECT count(*)::integer AS number, max(a.created_at) AS newest
        FROM audit_log AS a
        WHERE
            a.subject IN (
                SELECT 'doctor:' || b.doctor_id
                UNION
                SELECT 'doctor:' || (t.details #>> '{doctor_id,0}')
                FROM audit_log AS t
                WHERE t.subject = 'slot:' || b.slot_id AND t.action = 'take_over_slot'
            )
            AND a.action = 'update_doctor'
            AND a.details ?| ARRAY['name', 'specialization']
    ) AS renames
CROSS JOIN (SELECT sum(c.version)::integer AS number, max(c.updated_at) AS newest FROM clinics AS c) AS places
LEFT JOIN visit_types AS v ON b.visit_type_id = v.id
WHERE r.id = :booking_id::bigint;
