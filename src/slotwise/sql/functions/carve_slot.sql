-- For the release before: its servers look whether it is there, and its `hold_times` may still run. `carve_slots` for
-- one time.
CREATE OR REPLACE FUNCTION carve_slot(
    empty_slot_id bigint,
    other_empty_ids bigint[],
    window_id bigint,
    start_time timestamptz,
    end_time timestamptz,
    visit_type_id bigint
) RETURNS bigint LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
BEGIN
    IF other_empty_ids IS NOT NULL THEN
        PERFORM close_empty_slots(other_empty_ids);
    END IF;
    RETURN (
        SELECT c.slot_id
        FROM carve_slots(
                ARRAY[window_id],
                ARRAY[start_time],
                ARRAY[end_time],
                ARRAY[visit_type_id],
                ARRAY[coalesce(busy_until_of(end_time, ARRAY[visit_type_id]), end_time)],
                ARRAY[NULL::text],
                ARRAY[empty_slot_id]
            ) AS c
    );
END
$$;
