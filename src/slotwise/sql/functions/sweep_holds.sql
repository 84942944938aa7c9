-- Fails overdue holds, those of the slots that the oldest of them belong to, and gives their seats back; returns how
-- many of each slot. None is returned when there are none but of slots that others have locked: where all of the oldest
-- are, it looks further, lest one slot that stays locked and has many keep the sweep from all others.
-- The clock is read before the lock only to find the slots. Which of their holds are overdue, expire_holds decides in
-- the next statement, under the lock: between the two a customer may have confirmed one, or had its seats.
-- SKIP LOCKED: a sweep waits for nobody. A booking that holds the lock expires the slot's overdue holds itself, and
-- what another holder leaves is found by the next sweep.
CREATE OR REPLACE FUNCTION sweep_holds(holds_looked_at integer, actor text)
RETURNS TABLE (slot_id bigint, holds integer) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    locked bigint[];
    look_at integer := holds_looked_at;
BEGIN
    LOOP
        -- Of however many holds, no more slots than at first: none is kept for long.
        locked := ARRAY(
            SELECT s.id
            FROM appointment_slots AS s
            WHERE s.id IN (
                SELECT b.slot_id FROM bookings AS b
                WHERE coalesce(b.status, '') = 'PENDING' AND b.expires_at <= (SELECT clock_timestamp())
                ORDER BY b.expires_at
                LIMIT look_at
            )
            ORDER BY s.id
            LIMIT holds_looked_at
            FOR NO KEY UPDATE SKIP LOCKED
        );

        EXIT WHEN cardinality(locked) > 0 OR look_at > 100000000 OR NOT EXISTS (
            SELECT FROM bookings AS b
            WHERE coalesce(b.status, '') = 'PENDING' AND b.expires_at <= (SELECT clock_timestamp())
            ORDER BY b.expires_at
            OFFSET look_at
        );
        look_at := look_at * 10;
    END LOOP;

    RETURN QUERY SELECT e.slot_id, e.holds FROM expire_holds(locked, actor) AS e;
END
$$;
