-- The open slots of doctors in a period that were carved out of windows. Some may be empty: they take no time, but they
-- are in the way of others until they are closed. Each doctor's are found by the doctor and the start, also with a plan
-- from when there were no slots yet: hence the limit. The planner inlines this function.
CREATE OR REPLACE FUNCTION slots_of_windows(doctor_ids bigint[], starts_from timestamptz, ends_before timestamptz)
RETURNS TABLE (id bigint)
LANGUAGE sql STABLE AS $$
    SELECT s.id
    FROM unnest(slots_of_windows.doctor_ids) AS d (id)
    CROSS JOIN LATERAL (
        SELECT i.id, i.window_id, i.status
        FROM slots_in_the_way(d.id, slots_of_windows.starts_from, slots_of_windows.ends_before) AS i
        LIMIT 2147483647
    ) AS s
    WHERE s.window_id IS NOT NULL AND s.status = 'OPEN'
$$;
