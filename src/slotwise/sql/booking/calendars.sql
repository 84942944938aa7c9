-- name: get_calendar_entry
-- Reads a booking as an entry of a calendar.
-- RFC 5546, 2.1.4: the sequence grows with each change of the times and of the status. All changes of one slot are made
-- under its lock and in order of time, so a move after the booking has a later time.
SELECT
    r.manage_token_hash,
    b.status,
    b.seats_booked,
    b.doctor_name,
    b.specialization,
    b.start_time,
    b.end_time,
    b.created_at,
    greatest(b.updated_at, moves.newest) AS changed_at,
    clock_timestamp() AS read_at,
    moves.number
    + (b.expires_at IS NOT NULL AND b.confirmed_at IS NOT NULL)::integer
    + (b.status IN ('CANCELLED', 'FAILED'))::integer AS sequence
FROM bookings AS r
INNER JOIN bookings_now AS b ON r.id = b.id
CROSS JOIN
    LATERAL (
        SELECT count(*)::integer AS number, max(e.created_at) AS newest
        FROM booking_events AS e
        WHERE e.slot_id = b.slot_id AND e.booking_id IS NULL AND e.kind = 'MOVED' AND e.created_at > b.created_at
    ) AS moves
WHERE r.id = :booking_id::bigint;
