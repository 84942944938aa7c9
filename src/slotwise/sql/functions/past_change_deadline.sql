-- Whether the deadline for a patient's change has passed, of a visit of this type that starts then. The desk may still
-- change it. Pages ask this, too: the only place that has the rule. The deadline itself is still in time, and a visit
-- that has started has its own outcome. Minutes here are minutes, also when clocks change in between.
CREATE OR REPLACE FUNCTION past_change_deadline(start_time timestamptz, visit_type_id bigint, clock timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM visit_types AS t
        WHERE
            t.id = past_change_deadline.visit_type_id
            AND past_change_deadline.start_time > past_change_deadline.clock
            AND past_change_deadline.start_time
            < past_change_deadline.clock + make_interval(mins => t.change_deadline_minutes)
    )
$$;
