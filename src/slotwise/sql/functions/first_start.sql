-- The first moment from `starts_from` on at which a visit may begin in a window that has begun: the next of its steps;
-- or `starts_from` itself, if a visit or a closure ends before that step, as visits begin there, too.
CREATE OR REPLACE FUNCTION first_start(
    doctor_id bigint, window_start timestamptz, step_minutes integer, starts_from timestamptz
)
RETURNS TABLE (bound timestamptz) LANGUAGE sql STABLE AS $$
    SELECT
        CASE
            WHEN
                EXISTS (
                    SELECT
                    FROM appointment_slots AS s
                    WHERE
                        s.doctor_id = first_start.doctor_id
                        AND s.start_time > starts_from - interval '28 hours'
                        AND s.start_time < n.next_step
                        AND coalesce(s.busy_until, s.end_time) BETWEEN starts_from AND n.next_step
                )
                OR EXISTS (
                    SELECT
                    FROM closures AS g
                    WHERE g.removed_at IS NULL AND g.end_time BETWEEN starts_from AND n.next_step
                )
                THEN starts_from
            ELSE n.next_step
        END
    FROM (
        SELECT
            window_start + make_interval(mins => step_minutes) * ceil(
                extract(EPOCH FROM starts_from - window_start) / (60 * step_minutes)
            )::double precision AS next_step
    ) AS n
$$;
