-- The open windows of a doctor in which another visit could come too near to one of that period: whose visits could
-- reach it with their buffers, and those that its own buffer could reach. No buffer is longer than four hours. The
-- planner inlines this function.
CREATE OR REPLACE FUNCTION windows_near(doctor_id bigint, start_time timestamptz, end_time timestamptz)
RETURNS SETOF windows
LANGUAGE sql STABLE AS $$
    SELECT v.*
    FROM windows AS v
    WHERE
        v.doctor_id = windows_near.doctor_id
        AND v.status = 'OPEN'
        AND tstzrange(v.start_time, v.end_time) && tstzrange(
            windows_near.start_time - interval '4 hours', windows_near.end_time + interval '4 hours'
        )
$$;
