-- name: create_rules
-- Adds weekly hours of doctors, without an end. The visit types of each are an array that is written as text.
INSERT INTO schedule_rules (
    doctor_id,
    clinic_id,
    first_day,
    every_weeks,
    weekday,
    opens,
    closes,
    slot_minutes,
    break_minutes,
    kind,
    step_minutes,
    visit_type_ids
)
SELECT
    w.doctor_id,
    :clinic_id::bigint,
    w.first_day,
    w.every_weeks,
    w.weekday,
    w.opens,
    w.closes,
    w.slot_minutes,
    w.break_minutes,
    w.kind,
    w.step_minutes,
    w.visit_type_ids::bigint[]
FROM unnest(
        :doctor_ids::bigint[],
        :first_days::date[],
        :every_weeks::integer[],
        :weekdays::integer[],
        :opens::integer[],
        :closes::integer[],
        :slot_minutes::integer[],
        :break_minutes::integer[],
        :kinds::text[],
        :step_minutes::integer[],
        :visit_type_ids::text[]
    ) WITH ORDINALITY AS w (
        doctor_id,
        first_day,
        every_weeks,
        weekday,
        opens,
        closes,
        slot_minutes,
        break_minutes,
        kind,
        step_minutes,
        visit_type_ids,
        position
    )
ORDER BY w.position ASC;

-- name: create_closures
-- Adds closures of doctors or, without a doctor, of all, in which there is no open slot yet: none has to be closed.
INSERT INTO closures AS c (doctor_id, start_time, end_time, kind, reason, message)
SELECT w.doctor_id, w.start_time, w.end_time, w.kind, w.reason, w.message
FROM unnest(
        :doctor_ids::bigint[],
        :start_times::timestamptz[],
        :end_times::timestamptz[],
        :kinds::text[],
        :reasons::text[],
        :messages::text[]
    ) AS w (doctor_id, start_time, end_time, kind, reason, message)
WHERE
    NOT EXISTS (
        SELECT 1 FROM appointment_slots AS s
        WHERE
            s.status = 'OPEN'
            AND s.start_time < w.end_time
            AND s.end_time > w.start_time
            AND (w.doctor_id IS NULL OR s.doctor_id = w.doctor_id)
    )
RETURNING c.id;
