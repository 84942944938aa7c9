-- Open windows in which a visit of one of these types can begin, taken or not: at active clinics, by a rule that has
-- the type; only at these clinics, if any are given. Statements add whose windows they want, and when. The planner
-- inlines this function.
CREATE OR REPLACE FUNCTION open_windows_for(visit_type_ids bigint[], clinic_ids bigint[])
RETURNS TABLE (
    id bigint,
    doctor_id bigint,
    clinic_id bigint,
    start_time timestamptz,
    end_time timestamptz,
    local_start timestamp,
    step_minutes integer
)
LANGUAGE sql STABLE AS $$
    SELECT v.id, v.doctor_id, v.clinic_id, v.start_time, v.end_time, v.local_start, r.step_minutes
    FROM windows AS v
    INNER JOIN schedule_rules AS r ON v.rule_id = r.id
    INNER JOIN clinics AS c ON v.clinic_id = c.id
    WHERE
        v.status = 'OPEN'
        AND c.active
        AND r.visit_type_ids && open_windows_for.visit_type_ids
        AND (open_windows_for.clinic_ids IS NULL OR v.clinic_id = any(open_windows_for.clinic_ids))
$$;
