-- Fails the overdue holds of some slots and gives their seats back. Returns how many failed in each slot. The caller
-- must hold the locks of the slots; this function takes none.
CREATE OR REPLACE FUNCTION expire_holds(slot_ids bigint[], actor text)
RETURNS TABLE (slot_id bigint, holds integer) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH overdue AS (
        UPDATE bookings AS b
        SET status = 'FAILED', updated_at = clock_timestamp()
        WHERE
            b.slot_id = any(slot_ids)
            AND b.status = 'PENDING'
            -- A scalar subquery: an index cannot be searched by a volatile function.
            AND b.expires_at <= (SELECT clock_timestamp())
        RETURNING b.id, b.slot_id, b.seats_booked
    ),

    ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            o.slot_id,
            s.last_event + row_number() OVER in_order,
            'EXPIRED',
            o.id,
            o.seats_booked,
            s.available_seats + sum(o.seats_booked) OVER in_order,
            s.total_seats,
            expire_holds.actor,
            clock_timestamp()
        FROM overdue AS o
        INNER JOIN appointment_slots AS s ON o.slot_id = s.id
        WINDOW in_order AS (PARTITION BY o.slot_id ORDER BY o.id)
    ),

    freed AS (
        SELECT o.slot_id, sum(o.seats_booked)::integer AS seats, count(*)::integer AS holds
        FROM overdue AS o
        GROUP BY o.slot_id
    )

    UPDATE appointment_slots AS s
    SET
        available_seats = s.available_seats + f.seats,
        last_event = s.last_event + f.holds,
        updated_at = clock_timestamp()
    FROM freed AS f
    WHERE s.id = f.slot_id
    RETURNING s.id, f.holds;
END
$$;
