-- name: read_asked_type
-- Reads a visit type for those who want to book it, patients with an account or the desk: from when on until when its
-- visits can begin, by the rules of `check_types`. `starts_until` is null without a horizon. Whether a patient is new,
-- or has too many visits of the type, is not looked at.
SELECT
    t.minutes,
    t.buffer_minutes,
    t.active AND (:by_desk::boolean OR t.bookable_by <> 'STAFF') AS offered,
    now() + make_interval(mins => CASE WHEN NOT :by_desk::boolean THEN coalesce(t.min_notice_minutes, 0) ELSE 0 END)
        AS starts_from,
    now() + make_interval(hours => CASE WHEN NOT :by_desk::boolean THEN 24 * t.horizon_days END) AS starts_until
FROM visit_types AS t
WHERE t.id = :visit_type_id::bigint;

-- name: get_explained_doctor
-- Reads a doctor whose times are to be explained, by id.
SELECT d.id, d.name, d.specialization, d.active
FROM doctors AS d
WHERE d.id = :doctor_id::bigint;

-- name: list_explained_doctors
-- Lists the active doctors, by id, who have hours for a visit type at some clinics, or a published slot in a period.
-- Without a visit type, those with hours or slots for none. Each doctor's rules are looked at first.
SELECT d.id, d.name, d.specialization, d.active
FROM doctors AS d
WHERE
    d.active
    AND d.id > :after_id::bigint
    AND (
        EXISTS (
            SELECT 1
            FROM schedule_rules AS r
            WHERE
                r.doctor_id = d.id
                AND r.removed_at IS NULL
                AND (:clinic_ids::bigint[] IS NULL OR r.clinic_id = any(:clinic_ids::bigint[]))
                AND coalesce(:visit_type_id::bigint = any(r.visit_type_ids), :visit_type_id::bigint IS NULL)
        )
        OR EXISTS (
            SELECT 1
            FROM appointment_slots AS s
            WHERE
                s.doctor_id = d.id
                AND s.start_time >= :starts_from::timestamptz
                AND s.start_time < :starts_before::timestamptz
                AND s.window_id IS NULL
                AND (:clinic_ids::bigint[] IS NULL OR s.clinic_id = any(:clinic_ids::bigint[]))
                AND coalesce(:visit_type_id::bigint = any(s.visit_type_ids), :visit_type_id::bigint IS NULL)
        )
    )
ORDER BY d.id
LIMIT :limit::integer;
