-- Closes those of some carved slots that are empty, after failing their overdue holds. Returns how many holds failed.
-- The caller must hold the locks of the slots; this function takes none.
CREATE OR REPLACE FUNCTION close_empty_slots(slot_ids bigint[]) RETURNS integer LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
DECLARE
    expired integer;
BEGIN
    SELECT coalesce(sum(e.holds), 0) INTO expired FROM expire_holds(slot_ids, 'carving') AS e;

    -- Not `= 'OPEN'`: with a plan from when there were few slots, that would read all open ones, by their own index.
    WITH ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            s.id, s.last_event + 1, 'CLOSED', NULL, s.total_seats, s.total_seats, s.total_seats, 'carving',
            clock_timestamp()
        FROM appointment_slots AS s
        WHERE s.id = any(slot_ids) AND s.status <> 'CLOSED' AND s.available_seats = s.total_seats
    )

    UPDATE appointment_slots AS s
    SET status = 'CLOSED', last_event = s.last_event + 1, updated_at = clock_timestamp()
    WHERE s.id = any(slot_ids) AND s.status <> 'CLOSED' AND s.available_seats = s.total_seats;
    RETURN expired;
END
$$;
