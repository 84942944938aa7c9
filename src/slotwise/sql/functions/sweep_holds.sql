-- Fails the overdue holds of the slots that have the oldest ones, and gives their seats back. Returns how many failed
-- in each slot; no row means that no unlocked slot has overdue holds. If the slots of the oldest holds are all locked,
-- it looks further: otherwise one slot that stays locked and has many holds would block the sweep of all others.
-- The clock is read before the lock only to find the slots. Which holds are overdue is decided by `expire_holds`, in
-- the next statement and under the lock: in between, one may have been confirmed, or another booking has its seats.
-- SKIP LOCKED: a sweep does not wait. A booking that holds the lock expires the slot's overdue holds itself, and the
-- next sweep finds what other lock holders leave.
CREATE OR REPLACE FUNCTION sweep_holds(holds_looked_at integer, actor text)
RETURNS TABLE (slot_id bigint, holds integer) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_column
DECLARE
    locked bigint[];
    look_at integer := holds_looked_at;
BEGIN
    LOOP
        -- However many holds it looks at, it locks no more slots than this, so that it keeps none for long.
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
