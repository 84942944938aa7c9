-- Those types of a slot that can be booked now, by patients or by the desk; only this one, if a visit type is given. By
-- the rule of `check_types`. The planner inlines this function.
CREATE OR REPLACE FUNCTION offered_types(
    visit_type_ids bigint[], start_time timestamptz, visit_type_id bigint, by_desk boolean
) RETURNS TABLE (id bigint)
LANGUAGE sql STABLE AS $$
    SELECT t.id
    FROM check_types(offered_types.visit_type_ids, offered_types.start_time, now(), offered_types.by_desk) AS t
    WHERE t.refusal IS NULL AND (offered_types.visit_type_id IS NULL OR t.id = offered_types.visit_type_id)
$$;
