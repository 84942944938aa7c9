-- name: list_open_time
-- Lists the open time of some doctors in a period, without what closures cover, and how much of each part is taken;
-- only at some clinics, if these are given. What takes the doctor's time counts with its buffer, wherever it is.
-- Rows are compared because the planner would read the windows of all doctors for each of them.
SELECT
    v.doctor_id,
    v.clinic_id,
    lower(p.part) AS start_time,
    upper(p.part) AS end_time,
    b.minutes AS taken_minutes
FROM unnest(:doctor_ids::bigint[]) AS d (id)
CROSS JOIN
    LATERAL (
        SELECT v.doctor_id, v.clinic_id, v.start_time, v.end_time
        FROM windows AS v
        WHERE
            v.doctor_id = d.id
            AND v.status = 'OPEN'
            AND (v.doctor_id, v.start_time) > (d.id, :starts_from::timestamptz - interval '26 hours')
            AND (v.doctor_id, v.start_time) < (d.id, :starts_before::timestamptz)
            AND v.end_time > :starts_from::timestamptz
            AND (:clinic_ids::bigint[] IS NULL OR v.clinic_id = any(:clinic_ids::bigint[]))
        ORDER BY v.start_time
        LIMIT 1000
    ) AS v
INNER JOIN doctors AS o ON v.doctor_id = o.id AND o.active
INNER JOIN clinics AS c ON v.clinic_id = c.id AND c.active
CROSS JOIN
    LATERAL (
        SELECT coalesce(range_agg(tstzrange(g.start_time, g.end_time)), '{}') AS periods
        FROM closures AS g
        WHERE
            g.removed_at IS NULL
            AND g.end_time > v.start_time
            AND g.start_time < v.end_time
            AND coalesce(g.doctor_id, v.doctor_id) = v.doctor_id
            AND coalesce(g.clinic_id, v.clinic_id) = v.clinic_id
    ) AS closed
CROSS JOIN
    LATERAL unnest(tstzmultirange(tstzrange(v.start_time, v.end_time)) - closed.periods) AS p (part)
CROSS JOIN
    LATERAL (
        SELECT coalesce(extract(EPOCH FROM sum(upper(t.period) - lower(t.period))) / 60, 0)::integer AS minutes
        FROM (
            SELECT unnest(range_agg(tstzrange(s.start_time, s.busy_until)) * tstzmultirange(p.part)) AS period
            FROM busy_times(v.doctor_id, lower(p.part), upper(p.part)) AS s
        ) AS t
    ) AS b
WHERE upper(p.part) > :starts_from::timestamptz AND lower(p.part) < :starts_before::timestamptz
ORDER BY v.doctor_id, lower(p.part);

-- name: list_doctors_with_windows
-- Lists the doctors who have an open window in a period, by name; only at some clinics, if these are given.
SELECT d.id, d.name
FROM doctors AS d
WHERE
    d.id IN (
        SELECT v.doctor_id
        FROM windows AS v
        WHERE
            v.status = 'OPEN'
            AND v.start_time > :starts_from::timestamptz - interval '26 hours'
            AND v.start_time < :starts_before::timestamptz
            AND v.end_time > :starts_from::timestamptz
            AND (:clinic_ids::bigint[] IS NULL OR v.clinic_id = any(:clinic_ids::bigint[]))
    )
ORDER BY d.name_sort_key, d.id
LIMIT :limit::integer;
