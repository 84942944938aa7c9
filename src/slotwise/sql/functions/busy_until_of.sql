-- Until when a slot with these visit types takes the doctor's time: its end and their largest buffer. Null without one.
CREATE OR REPLACE FUNCTION busy_until_of(end_time timestamptz, visit_type_ids bigint[])
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT busy_until_of.end_time + make_interval(mins => nullif(max(t.buffer_minutes), 0))
    FROM visit_types AS t
    WHERE t.id = any(busy_until_of.visit_type_ids)
$$;
