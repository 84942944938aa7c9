-- A digest of what decides which slots and windows some doctors have in a period: rules, closures, clinics, lengths of
-- visit types, and the slots and open windows themselves.
-- Two equal digests mean that nothing of it changed. Bookings are not in it: they change all the time.
CREATE OR REPLACE FUNCTION schedule_fingerprint(
    doctor_ids bigint[], starts_from timestamptz, starts_before timestamptz
) RETURNS text LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
BEGIN
    RETURN md5(concat_ws(
        '/',
        (
            SELECT string_agg(concat_ws('.', r.id, r.version), ',' ORDER BY r.id)
            FROM schedule_rules AS r
            WHERE r.doctor_id = any(schedule_fingerprint.doctor_ids) AND r.removed_at IS NULL
        ),
        (
            SELECT string_agg(concat_ws('.', c.id, c.version), ',' ORDER BY c.id)
            FROM closures AS c
            WHERE
                c.removed_at IS NULL
                AND c.end_time > schedule_fingerprint.starts_from
                AND c.start_time < schedule_fingerprint.starts_before
                AND (c.doctor_id IS NULL OR c.doctor_id = any(schedule_fingerprint.doctor_ids))
        ),
        (SELECT string_agg(concat_ws('.', c.id, c.time_zone, c.active), ',' ORDER BY c.id) FROM clinics AS c),
        (
            SELECT string_agg(concat_ws('.', t.id, t.minutes, t.buffer_minutes), ',' ORDER BY t.id)
            FROM visit_types AS t
        ),
        (
            SELECT
                concat_ws('.', count(*), sum(hashtextextended(
                    concat_ws(
                        '.', s.id, s.doctor_id, s.start_time, s.end_time, s.total_seats - s.added_seats, s.status, s.rule_version, s.closure_id,
                        s.drifted, s.pinned, s.busy_until
                    ),
                    0
                )))
            FROM unnest(schedule_fingerprint.doctor_ids) AS d (id)
            CROSS JOIN LATERAL (
                SELECT s.*
                FROM slots_in_period(
                    d.id, schedule_fingerprint.starts_from, schedule_fingerprint.starts_before
                ) AS s
                ORDER BY s.start_time, s.id
                LIMIT 2147483647
            ) AS s
            -- Slots that are carved out of windows come and go with holds.
            WHERE
                s.window_id IS NULL
                OR EXISTS (SELECT FROM bookings AS b WHERE b.slot_id = s.id AND b.status = 'CONFIRMED')
        ),
        -- Nothing of a window changes but that it is closed.
        (
            SELECT concat_ws('.', count(*), sum(hashtextextended(v.id::text, 0)))
            FROM unnest(schedule_fingerprint.doctor_ids) AS d (id)
            CROSS JOIN LATERAL (
                SELECT n.id
                FROM windows_near(d.id, schedule_fingerprint.starts_from, schedule_fingerprint.starts_before) AS n
                LIMIT 2147483647
            ) AS v
        )
    ));
END
$$;
