-- Whether a visit of one of these types takes longer than that. False without types.
CREATE OR REPLACE FUNCTION outlast(visit_type_ids bigint[], length interval)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM visit_types AS t
        WHERE t.id = any(outlast.visit_type_ids) AND make_interval(mins => t.minutes) > outlast.length
    )
$$;
