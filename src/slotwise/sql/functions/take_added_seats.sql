-- Takes away the seats that were added for some bookings, which the caller has just ended. The caller must hold the
-- locks of the slots and call it before the commit: then no other transaction ever sees these seats free.
CREATE OR REPLACE FUNCTION take_added_seats(booking_ids bigint[], actors text[]) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
BEGIN
    WITH added AS MATERIALIZED (
        SELECT
            b.slot_id,
            b.added_seats,
            w.actor,
            row_number() OVER in_order AS place,
            sum(b.added_seats) OVER in_order AS so_far
        FROM unnest(booking_ids, actors) WITH ORDINALITY AS w (booking_id, actor, position)
        INNER JOIN bookings AS b ON w.booking_id = b.id
        WINDOW in_order AS (PARTITION BY b.slot_id ORDER BY w.position)
    ),

    ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            a.slot_id,
            s.last_event + a.place,
            'RESIZED',
            NULL,
            s.total_seats - a.so_far,
            s.available_seats - a.so_far,
            s.total_seats - a.so_far,
            a.actor,
            clock_timestamp()
        FROM added AS a
        INNER JOIN appointment_slots AS s ON a.slot_id = s.id
    ),

    gone AS (
        SELECT a.slot_id, sum(a.added_seats)::integer AS seats, count(*) AS events
        FROM added AS a
        GROUP BY a.slot_id
    )

    UPDATE appointment_slots AS s
    SET
        total_seats = s.total_seats - g.seats,
        available_seats = s.available_seats - g.seats,
        added_seats = s.added_seats - g.seats,
        last_event = s.last_event + g.events,
        updated_at = clock_timestamp()
    FROM gone AS g
    WHERE s.id = g.slot_id;
END
$$;
