-- Make $3 bookings for each slot from $1 to $2, made yesterday, with one seat and the final status $4, and the ledger
-- rows that the server would have written. CONFIRMED bookings were booked without a hold and keep their seats;
-- CANCELLED and FAILED ones were held first and gave the seats back. Ledger rows have the present time, because the
-- ledger's times never run backwards. Bookings whose id is divisible by $6 belong to the account $5, which may be null.
WITH wanted AS MATERIALIZED (
    SELECT
        s.id AS slot_id,
        s.last_event,
        s.available_seats,
        s.total_seats,
        k.k,
        nextval('bookings_id_seq') AS id,
        now() - interval '1 day' AS made,
        now() - interval '23 hours' AS ended
    FROM appointment_slots AS s
    CROSS JOIN generate_series(1, $3::integer) AS k (k)
    WHERE s.id BETWEEN $1::bigint AND $2::bigint
),

written AS (
    INSERT INTO bookings (
        id, slot_id, user_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at, cancelled_at,
        manage_token_hash, created_at, updated_at
    )
    SELECT
        w.id,
        w.slot_id,
        CASE WHEN w.id % $6::bigint = 0 THEN $5::bigint END,
        'Ada Lovelace',
        'ada@example.org',
        1,
        $4::text,
        CASE WHEN $4::text <> 'CONFIRMED' THEN w.made + interval '2 minutes' END,
        CASE WHEN $4::text = 'CONFIRMED' THEN w.made END,
        CASE WHEN $4::text = 'CANCELLED' THEN w.ended END,
        sha256(w.id::text::bytea),
        w.made,
        w.ended
    FROM wanted AS w
),

transitions AS (
    SELECT t.fate, t.kind, t.events, t.seats_out, t.seats_kept
    FROM (
        VALUES
        ('CONFIRMED', 'BOOKED', 1, 1, -1),
        ('CANCELLED', 'HELD', 2, 1, 0),
        ('CANCELLED', 'CANCELLED', 2, 0, 0),
        ('FAILED', 'HELD', 2, 1, 0),
        ('FAILED', 'EXPIRED', 2, 0, 0)
    ) AS t (fate, kind, events, seats_out, seats_kept)
    WHERE t.fate = $4::text
),

ledger AS (
    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT
        w.slot_id,
        w.last_event + t.events * w.k - (t.events - 1) * t.seats_out,
        t.kind,
        w.id,
        1,
        w.available_seats + t.seats_kept * (w.k - 1) - t.seats_out,
        w.total_seats,
        'bench',
        now()
    FROM wanted AS w
    CROSS JOIN transitions AS t
)

UPDATE appointment_slots AS s
SET
    available_seats = s.available_seats + $3::integer * t.seats_kept,
    last_event = s.last_event + $3::integer * t.events
FROM (SELECT DISTINCT t.events, t.seats_kept FROM transitions AS t) AS t
WHERE s.id BETWEEN $1::bigint AND $2::bigint;
