-- The one rule of visit types for searches and for `hold_seats_3`: which of these types can be booked at a time that
-- starts then, and why not the others. `refusal` is null for a type that can be booked, otherwise
-- 'visit_type_not_offered', 'too_late_to_book' or 'too_early_to_book'. The desk may book whatever is active.
-- A visit can be booked as long as the notice before its start has not begun. The planner inlines this function.
CREATE OR REPLACE FUNCTION check_types(
    visit_type_ids bigint[], start_time timestamptz, clock timestamptz, by_desk boolean
) RETURNS TABLE (id bigint, refusal text)
LANGUAGE sql STABLE AS $$
    SELECT
        t.id,
        CASE
            WHEN NOT t.active THEN 'visit_type_not_offered'
            WHEN check_types.by_desk THEN NULL
            WHEN t.bookable_by = 'STAFF' THEN 'visit_type_not_offered'
            WHEN
                check_types.start_time < check_types.clock + make_interval(mins => coalesce(t.min_notice_minutes, 0))
                THEN 'too_late_to_book'
            WHEN
                check_types.start_time > check_types.clock + make_interval(hours => 24 * t.horizon_days)
                THEN 'too_early_to_book'
        END
    FROM visit_types AS t
    WHERE t.id = any(check_types.visit_type_ids)
$$;
