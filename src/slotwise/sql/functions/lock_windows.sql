-- Locks the open windows of doctors near a period, so that nothing is carved out of them until the end of the
-- transaction. Whoever adds, moves, opens or closes slots locks the doctors first, then these windows, then slots:
--   one: finds no visit from 9:00 to 10:00, adds a slot     other: carves a visit at 9:30
CREATE OR REPLACE FUNCTION lock_windows(doctor_ids bigint[], starts_from timestamptz, ends_before timestamptz)
RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
BEGIN
    PERFORM 1
    FROM windows AS v
    WHERE v.id = any(ARRAY(
        SELECT o.id
        FROM unnest(doctor_ids) AS d (id)
        CROSS JOIN LATERAL (
            SELECT n.id
            FROM windows_near(d.id, starts_from, ends_before) AS n
            -- Always by the doctor, also with a plan from when there were no windows yet.
            LIMIT 2147483647
        ) AS o
    ))
    ORDER BY v.id
    FOR NO KEY UPDATE;
END
$$;
