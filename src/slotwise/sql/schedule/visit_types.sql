-- name: create_visit_type
-- Adds a visit type.
INSERT INTO visit_types AS t (
    name, minutes, buffer_minutes, mode, video_link, instructions, min_notice_minutes, horizon_days,
    change_deadline_minutes, max_live_per_patient, patients, bookable_by, active
)
VALUES (
    :name::text,
    :minutes::integer,
    :buffer_minutes::integer,
    :mode::text,
    :video_link::text,
    :instructions::text,
    :min_notice_minutes::integer,
    :horizon_days::integer,
    :change_deadline_minutes::integer,
    :max_live_per_patient::integer,
    :patients::text,
    :bookable_by::text,
    :active::boolean
)
RETURNING t.visit_type_columns;

-- name: get_visit_type
-- Reads a visit type.
SELECT t.visit_type_columns
FROM visit_types AS t
WHERE t.id = :visit_type_id::bigint;

-- name: get_visit_types
-- Reads those of some visit types that there are, by id.
SELECT t.visit_type_columns
FROM visit_types AS t
WHERE t.id = any(:visit_type_ids::bigint[])
ORDER BY t.id;

-- name: list_visit_types
-- A page of visit types by id: all, or only those that patients can book.
SELECT t.visit_type_columns
FROM visit_types AS t
WHERE t.id > :after_id::bigint AND (:for_desk::boolean OR (t.active AND t.bookable_by <> 'STAFF'))
ORDER BY t.id
LIMIT :limit::integer;

-- name: lock_visit_type
-- Locks a visit type and reads it.
SELECT t.visit_type_columns
FROM visit_types AS t
WHERE t.id = :visit_type_id::bigint
FOR NO KEY UPDATE;

-- name: is_in_rules
-- Tells whether weekly hours that have not ended have a visit type.
SELECT exists(
    SELECT FROM schedule_rules AS r
    WHERE
        r.visit_type_ids @> ARRAY[:visit_type_id::bigint]
        AND r.removed_at IS NULL
        AND coalesce(r.last_day, 'infinity') >= :today::date
) AS found;

-- name: list_types_together
-- Lists which visit types are together in weekly hours that have not ended, so that they have one length. In open time
-- each has its own.
SELECT DISTINCT r.visit_type_ids
FROM schedule_rules AS r
WHERE
    cardinality(r.visit_type_ids) > 1
    AND r.kind = 'FIXED'
    AND r.removed_at IS NULL
    AND coalesce(r.last_day, 'infinity') >= :today::date
ORDER BY r.visit_type_ids;

-- name: update_visit_type
-- Gives a visit type other values.
UPDATE visit_types AS t
SET
    name = :name::text,
    minutes = :minutes::integer,
    buffer_minutes = :buffer_minutes::integer,
    mode = :mode::text,
    video_link = :video_link::text,
    instructions = :instructions::text,
    min_notice_minutes = :min_notice_minutes::integer,
    horizon_days = :horizon_days::integer,
    change_deadline_minutes = :change_deadline_minutes::integer,
    max_live_per_patient = :max_live_per_patient::integer,
    patients = :patients::text,
    bookable_by = :bookable_by::text,
    active = :active::boolean,
    version = t.version + 1,
    updated_at = now()
WHERE t.id = :visit_type_id::bigint
RETURNING t.visit_type_columns;

-- name: lengthen_buffers
-- Gives the slots ahead of visit types the time of their longer buffer. Returns the first slot that is in the way.
SELECT l.overlapped_start, l.overlapped_end, l.overlapped_closed
FROM lengthen_buffers(:visit_type_ids::bigint[]) AS l;

-- name: list_bookable_types
-- Those of some visit types that patients can book now at a time that starts then, by id.
SELECT c.id
FROM offered_types(:visit_type_ids::bigint[], :start_time::timestamptz, NULL, FALSE) AS c
ORDER BY c.id;

-- name: is_past_change_deadline
-- Tells whether patients can no longer change a confirmed visit that starts then.
SELECT past_change_deadline(:start_time::timestamptz, :visit_type_id::bigint, clock_timestamp()) AS found;

-- name: set_visit_types
-- Gives a slot other visit types, or none.
SELECT u.outcome, u.overlapped_start, u.overlapped_end, u.overlapped_closed, u.updated_at
FROM set_visit_types(
        slot_id => :slot_id::bigint,
        visit_type_ids => :visit_type_ids::bigint[],
        actor => :actor::text,
        details => :details::text,
        request_id => :request_id::text
    ) AS u;
