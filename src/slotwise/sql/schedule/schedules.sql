-- name: read_fingerprint
-- Digests the schedule of some doctors in a period. Read it before the schedule itself, so that it is never newer.
SELECT
    clock_timestamp() AS now,
    schedule_fingerprint(:doctor_ids::bigint[], :starts_from::timestamptz, :starts_before::timestamptz) AS fingerprint;

-- name: list_rules
-- Lists the rules of some doctors that apply.
SELECT r.rule_columns
FROM schedule_rules AS r
WHERE r.doctor_id = any(:doctor_ids::bigint[]) AND r.removed_at IS NULL
ORDER BY r.id;

-- name: list_runs
-- Tells how far the rules of some doctors are published. `skipped` is JSON.
SELECT u.rule_id, u.rule_version, u.published_until, u.tzdata, u.skipped::text AS skipped
FROM schedule_rules AS r
INNER JOIN rule_runs AS u ON r.id = u.rule_id
WHERE r.doctor_id = any(:doctor_ids::bigint[]) AND r.removed_at IS NULL
ORDER BY u.rule_id;

-- name: list_closures
-- Lists the closures in force that touch a period, by start: all, or those that may concern some doctors.
SELECT c.closure_columns
FROM closures AS c
WHERE
    c.removed_at IS NULL
    AND c.end_time > :starts_from::timestamptz
    AND c.start_time < :starts_before::timestamptz
    AND (:doctor_ids::bigint[] IS NULL OR c.doctor_id IS NULL OR c.doctor_id = any(:doctor_ids::bigint[]))
ORDER BY c.start_time, c.id
LIMIT :limit::integer;

-- name: get_closures
-- Reads some closures that are in force.
SELECT c.closure_columns
FROM closures AS c
WHERE c.id = any(:closure_ids::bigint[]) AND c.removed_at IS NULL
ORDER BY c.id;

-- name: get_rules
-- Reads some rules that apply.
SELECT r.rule_columns
FROM schedule_rules AS r
WHERE r.id = any(:rule_ids::bigint[]) AND r.removed_at IS NULL
ORDER BY r.id;

-- name: list_places
-- Lists the time zone of each clinic, and whether it takes appointments.
SELECT c.id, c.time_zone, c.active
FROM clinics AS c
ORDER BY c.id;

-- name: list_scheduled_doctors
-- Finds the doctors whom closures concern: all, or those who have slots or rules at a clinic.
SELECT d.id
FROM doctors AS d
WHERE
    :of_all::boolean
    OR EXISTS (
        SELECT 1 FROM schedule_rules AS r
        WHERE r.doctor_id = d.id AND r.clinic_id = any(:clinic_ids::bigint[]) AND r.removed_at IS NULL
    )
    OR EXISTS (
        SELECT 1 FROM appointment_slots AS s
        WHERE
            s.doctor_id = d.id
            AND s.clinic_id = any(:clinic_ids::bigint[])
            AND s.start_time > :starts_from::timestamptz
    )
ORDER BY d.id;

-- name: list_existing_slots
-- Lists the slots of some doctors that take place in a period, open and closed, as schedules are compared with.
-- A seat that is neither free nor held is confirmed, so no confirmed booking is read.
SELECT
    s.id,
    s.doctor_id,
    s.clinic_id,
    s.start_time,
    s.end_time,
    s.status,
    s.total_seats,
    s.busy_until,
    s.added_seats,
    s.visit_type_ids,
    s.rule_id,
    s.rule_version,
    s.local_start,
    s.closure_id,
    s.drifted,
    s.pinned,
    s.total_seats - s.available_seats - p.taken AS confirmed,
    p.held AS holds,
    v.id AS window_id,
    s.window_id IS NOT NULL AS carved
FROM unnest(:doctor_ids::bigint[]) AS d (id)
CROSS JOIN
    LATERAL (
        SELECT s.*
        FROM slots_in_period(d.id, :starts_from::timestamptz, :starts_before::timestamptz) AS s
        ORDER BY s.start_time, s.id
        LIMIT 2147483647
    ) AS s
CROSS JOIN
    LATERAL (
        SELECT
            coalesce(sum(b.seats_booked), 0)::integer AS taken,
            coalesce(sum(b.seats_booked) FILTER (WHERE b.expires_at > now()), 0)::integer AS held
        FROM (
            SELECT b.seats_booked, b.expires_at
            FROM bookings AS b
            WHERE b.slot_id = s.id AND b.status = 'PENDING' AND s.available_seats < s.total_seats
            ORDER BY b.expires_at
            LIMIT 2147483647
        ) AS b
    ) AS p
-- Not of a slot that a colleague has taken over.
LEFT JOIN windows AS v ON s.window_id = v.id AND s.doctor_id = v.doctor_id
-- An empty slot that was carved out of a window takes no time.
WHERE s.window_id IS NULL OR s.available_seats + p.taken - p.held < s.total_seats
ORDER BY s.id;

-- name: list_open_windows
-- Lists the open windows of some doctors that are not over at a moment, and those that ended shortly before.
SELECT v.id, v.rule_id, v.doctor_id, v.clinic_id, v.start_time, v.end_time, v.local_start
FROM unnest(:doctor_ids::bigint[]) AS d (id)
CROSS JOIN LATERAL windows_near(d.id, :starts_from::timestamptz, :starts_before::timestamptz) AS v
ORDER BY v.id;

-- name: list_live_bookings
-- Lists the confirmed bookings and the live holds of some slots.
SELECT
    b.id,
    b.slot_id,
    b.status,
    b.seats_booked,
    coalesce(b.added_seats, 0) AS added_seats,
    b.user_name,
    b.user_email,
    b.visit_type_id
FROM unnest(:slot_ids::bigint[]) AS w (slot_id)
CROSS JOIN
    LATERAL (
        SELECT b.*
        FROM bookings AS b
        WHERE
            b.slot_id <= w.slot_id
            AND (b.slot_id, b.id) > (w.slot_id, 0)
            AND (b.status = 'CONFIRMED' OR (b.status = 'PENDING' AND b.expires_at > now()))
        ORDER BY b.slot_id, b.id
        LIMIT 2147483647
    ) AS b
ORDER BY b.id;

-- name: apply_schedule
-- Applies a change of the schedule as it was outlined, or nothing if something has changed meanwhile; then there may be
-- no row. Slots that go to a colleague are locked and looked at before, and go after: each function takes what the one
-- before it returned, so they run in this order. Windows are closed and added after that, too.
SELECT
    a.outcome,
    a.new_rule_ids,
    a.new_closure_ids,
    a.slot_ids || w.slot_ids AS slot_ids,
    a.cancelled_holds + w.cancelled_holds AS cancelled_holds
FROM prepare_takeover(
        doctor_ids => :doctor_ids::bigint[],
        slot_ids => :touched_slot_ids::bigint[],
        colleague_id => :colleague_id::bigint,
        taken_slot_ids => :taken_slot_ids::bigint[],
        room_slot_ids => :room_slot_ids::bigint[]
    ) AS p
CROSS JOIN
    LATERAL apply_schedule_2(
        doctor_ids => p.locked_doctor_ids,
        starts_from => :starts_from::timestamptz,
        starts_before => :starts_before::timestamptz,
        fingerprint => :fingerprint::text,
        first_new_id => :first_new_id::bigint,
        rules => :rules::text::jsonb,
        removed_rule_ids => :removed_rule_ids::bigint[],
        closures => :closures::text::jsonb,
        removed_closure_ids => :removed_closure_ids::bigint[],
        clinic_ids => :clinic_ids::bigint[],
        time_zones => :time_zones::text[],
        type_ids => :type_ids::bigint[],
        type_minutes => :type_minutes::integer[],
        type_buffers => :type_buffers::integer[],
        added_rule_ids => :added_rule_ids::bigint[],
        added_starts => :added_starts::timestamptz[],
        added_ends => :added_ends::timestamptz[],
        added_local_starts => :added_local_starts::timestamp[],
        closed_slot_ids => :closed_slot_ids::bigint[],
        closed_by => :closed_by::bigint[],
        drifted_slot_ids => :drifted_slot_ids::bigint[],
        undrifted_slot_ids => :undrifted_slot_ids::bigint[],
        reopened_slot_ids => :reopened_slot_ids::bigint[],
        stamped_slot_ids => :stamped_slot_ids::bigint[],
        stamped_versions => :stamped_versions::integer[],
        stamped_local_starts => :stamped_local_starts::timestamp[],
        stamped_closures => :stamped_closures::bigint[],
        changed_slot_ids => :changed_slot_ids::bigint[],
        changed_seats => :changed_seats::integer[],
        hit_slot_ids => :hit_slot_ids::bigint[],
        booking_ids => :booking_ids::bigint[],
        cancelled_ids => :cancelled_ids::bigint[],
        messages => :messages::text[],
        runs => :runs::text::jsonb,
        actor => :actor::text,
        subject => :subject::text,
        details => :details::text,
        request_id => :request_id::text
    ) AS a
CROSS JOIN
    LATERAL take_over_slots(
        outcome => a.outcome,
        new_closure_ids => a.new_closure_ids,
        first_new_id => :first_new_id::bigint,
        colleague_id => :colleague_id::bigint,
        taken_slot_ids => :taken_slot_ids::bigint[],
        taken_closures => :taken_closures::bigint[],
        actor => :actor::text,
        request_id => :request_id::text
    )
CROSS JOIN LATERAL write_windows(
    outcome => a.outcome,
    new_rule_ids => a.new_rule_ids,
    first_new_id => :first_new_id::bigint,
    closed_window_ids => :closed_window_ids::bigint[],
    added_rule_ids => :window_rule_ids::bigint[],
    added_starts => :window_starts::timestamptz[],
    added_ends => :window_ends::timestamptz[],
    added_local_starts => :window_local_starts::timestamp[],
    actor => :actor::text,
    request_id => :request_id::text
) AS w;

-- name: find_colleague
-- Reads a doctor who is to take over, if active, with the clinics where the doctor works: all if there is none.
SELECT
    d.id,
    coalesce(array_agg(w.clinic_id ORDER BY w.clinic_id) FILTER (WHERE w.clinic_id IS NOT NULL), '{}') AS clinic_ids
FROM doctors AS d
LEFT JOIN doctor_clinics AS w ON d.id = w.doctor_id
WHERE d.id = :doctor_id::bigint AND d.active
GROUP BY d.id;

-- name: list_in_the_way
-- Finds the slots of a colleague that take the time of some slots.
SELECT f.slot_id, f.other_id, f.other_clinic_id, f.taken
FROM find_in_the_way(:slot_ids::bigint[], :colleague_id::bigint) AS f
ORDER BY f.slot_id, f.other_id;

-- name: list_colleagues
-- Lists the active doctors who work at some of these clinics, without one: first those with the same specialty.
SELECT d.id, d.name
FROM doctors AS d
WHERE
    d.active
    AND d.id <> :doctor_id::bigint
    AND (
        NOT EXISTS (SELECT FROM doctor_clinics AS w WHERE w.doctor_id = d.id)
        OR EXISTS (
            SELECT FROM doctor_clinics AS w WHERE w.doctor_id = d.id AND w.clinic_id = any(:clinic_ids::bigint[])
        )
    )
ORDER BY
    d.specialization IS DISTINCT FROM (SELECT o.specialization FROM doctors AS o WHERE o.id = :doctor_id::bigint),
    d.name_sort_key,
    d.id
LIMIT :limit::integer;

-- name: list_due_doctors
-- Finds the doctors with rules that are not published far enough, and those with open slots in a closed time.
SELECT d.id
FROM doctors AS d
WHERE
    d.active
    AND (
        EXISTS (
            SELECT 1
            FROM schedule_rules AS r
            LEFT JOIN rule_runs AS u ON r.id = u.rule_id AND r.version = u.rule_version
            WHERE
                r.doctor_id = d.id
                AND r.removed_at IS NULL
                AND r.first_day < :published_until::date
                AND coalesce(u.published_until, '-infinity')
                < least(coalesce(r.last_day + 1, 'infinity'), :published_until::date)
        )
        OR EXISTS (
            SELECT 1
            FROM closures AS c
            CROSS JOIN
                LATERAL (
                    SELECT s.clinic_id
                    FROM slots_in_period(d.id, greatest(c.start_time, now()), c.end_time) AS s
                    WHERE
                        s.status = 'OPEN'
                        AND s.start_time > now()
                        AND (s.window_id IS NULL OR s.available_seats < s.total_seats)
                ) AS s
            WHERE
                c.removed_at IS NULL
                AND c.end_time > now()
                AND coalesce(c.doctor_id, d.id) = d.id
                AND coalesce(c.clinic_id, s.clinic_id) = s.clinic_id
        )
    )
ORDER BY d.id;

-- name: list_doctors_of_types
-- Finds the doctors who have rules with some visit types that have not ended; and those who have slots ahead with types
-- whose buffers may change, which count for all slots.
SELECT r.doctor_id AS id
FROM schedule_rules AS r
WHERE
    r.visit_type_ids && :visit_type_ids::bigint[]
    AND r.removed_at IS NULL
    AND coalesce(r.last_day, 'infinity') >= :today::date
UNION
SELECT s.doctor_id
FROM appointment_slots AS s
WHERE s.id = any(slots_with_types(:buffered_type_ids::bigint[]));

-- name: list_visit_lengths
-- Lists the length and the buffer of each visit type, and whether it is offered.
SELECT t.id, t.minutes, t.buffer_minutes, t.active
FROM visit_types AS t
ORDER BY t.id;

-- name: list_closed_periods
-- Finds which of some periods of a doctor at a clinic lie in a closure, each with the first such closure.
SELECT w.position::integer AS position, c.id AS closure_id
FROM unnest(:start_times::timestamptz[], :end_times::timestamptz[])
    WITH ORDINALITY AS w (start_time, end_time, position)
CROSS JOIN
    LATERAL (
        SELECT c.id
        FROM closures AS c
        WHERE
            c.removed_at IS NULL
            AND c.end_time > w.start_time
            AND c.start_time < w.end_time
            AND coalesce(c.doctor_id, :doctor_id::bigint) = :doctor_id::bigint
            AND coalesce(c.clinic_id, :clinic_id::bigint) = :clinic_id::bigint
        ORDER BY c.id
        LIMIT 1
    ) AS c
ORDER BY w.position;

-- name: known_doctors
-- Finds which of some doctors exist.
SELECT d.id
FROM doctors AS d
WHERE d.id = any(:doctor_ids::bigint[])
ORDER BY d.id;

-- name: claim_publishing
-- Claims the publishing of rules until the end of the transaction, if no other process has it now.
SELECT pg_try_advisory_xact_lock(7305091, 1) AS claimed;
