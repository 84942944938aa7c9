-- The rule of `check_types` for patients. Only for the release before and for its views: `open_slots` and
-- `overdue_slots` are made before the other functions, when a new database has only this one.
CREATE OR REPLACE FUNCTION check_visit_types(visit_type_ids bigint[], start_time timestamptz, clock timestamptz)
RETURNS TABLE (id bigint, refusal text)
LANGUAGE sql STABLE AS $$
    SELECT t.id, t.refusal
    FROM check_types(
        check_visit_types.visit_type_ids, check_visit_types.start_time, check_visit_types.clock, FALSE
    ) AS t
$$;
