-- name: fill_first_clinic
-- Gives a clinic that nobody has named yet its name, zone and address.
UPDATE clinics AS c
SET name = :name::text, time_zone = :time_zone::text, address = :address::text, version = 1, updated_at = now()
WHERE c.id = :clinic_id::bigint AND c.version = 0;

-- name: create_clinic
-- Adds a clinic.
INSERT INTO clinics AS c (
    name, time_zone, address, telephone, email, directions, opening_note, colour, active, evening_list
)
VALUES (
    :name::text, :time_zone::text, :address::text, :telephone::text, :email::text, :directions::text,
    :opening_note::text, :colour::text, :active::boolean, :evening_list::boolean
)
RETURNING c.clinic_columns;

-- name: list_clinics
-- A page of clinics by id, after one; clinics that take no appointments only `with_inactive`.
SELECT c.clinic_columns
FROM clinics AS c
WHERE c.id > :after_id::bigint AND (c.active OR :with_inactive::boolean)
ORDER BY c.id
LIMIT :limit::integer;

-- name: get_clinic
-- Reads a clinic.
SELECT c.clinic_columns
FROM clinics AS c
WHERE c.id = :clinic_id::bigint;

-- name: lock_clinics
-- Takes the locks of all clinics, in id order, and reads them under the locks. They are few.
SELECT c.clinic_columns
FROM clinics AS c
ORDER BY c.id
FOR NO KEY UPDATE;

-- name: keep_clinic
-- Takes a shared lock, so that a clinic does not stop taking appointments while times are added. Without it, an admin
-- who closes the clinic sees no open times, while another transaction is about to commit some.
SELECT c.clinic_columns
FROM clinics AS c
WHERE c.id = :clinic_id::bigint
FOR SHARE;

-- name: has_open_times
-- Tells whether a clinic has open times that have not started.
SELECT exists(
    SELECT FROM appointment_slots AS s
    WHERE s.clinic_id = :clinic_id::bigint AND s.status = 'OPEN' AND s.start_time > clock_timestamp()
) AS found;

-- name: has_rules
-- Tells whether a clinic has weekly hours of doctors that have not ended.
SELECT exists(
    SELECT FROM schedule_rules AS r
    WHERE r.clinic_id = :clinic_id::bigint AND r.removed_at IS NULL AND coalesce(r.last_day, 'infinity') >= :today::date
) AS found;

-- name: update_clinic
-- Writes all that can be changed of a clinic, whose lock is held.
UPDATE clinics AS c
SET
    name = :name::text,
    time_zone = :time_zone::text,
    address = :address::text,
    telephone = :telephone::text,
    email = :email::text,
    directions = :directions::text,
    opening_note = :opening_note::text,
    colour = :colour::text,
    active = :active::boolean,
    evening_list = :evening_list::boolean,
    version = c.version + 1,
    updated_at = now()
WHERE c.id = :clinic_id::bigint
RETURNING c.clinic_columns;

-- name: list_doctor_clinics
-- Lists the clinics where a doctor works; none for a doctor who works at all of them.
SELECT w.clinic_id
FROM doctor_clinics AS w
WHERE w.doctor_id = :doctor_id::bigint
ORDER BY w.clinic_id;

-- name: change_doctor_clinics
-- Makes these the clinics where a doctor works, whose lock is held.
WITH gone AS (
    DELETE FROM doctor_clinics AS w
    WHERE w.doctor_id = :doctor_id::bigint AND w.clinic_id <> all(:clinic_ids::bigint[])
)

INSERT INTO doctor_clinics (doctor_id, clinic_id)
SELECT :doctor_id::bigint, w.clinic_id
FROM unnest(:clinic_ids::bigint[]) AS w (clinic_id)
ON CONFLICT (doctor_id, clinic_id) DO NOTHING;

-- name: works_at
-- Tells whether a doctor works at a clinic. One without clinics works at all of them.
SELECT
    NOT (EXISTS (SELECT FROM doctor_clinics AS w WHERE w.doctor_id = :doctor_id::bigint))
    OR EXISTS (
        SELECT FROM doctor_clinics AS w
        WHERE w.doctor_id = :doctor_id::bigint AND w.clinic_id = :clinic_id::bigint
    ) AS found;

-- name: list_doctors_elsewhere
-- Lists the doctors who work at none of these clinics and have no time ahead there.
SELECT e.doctor_id AS id
FROM (
    SELECT w.doctor_id
    FROM doctor_clinics AS w
    GROUP BY w.doctor_id
    HAVING bool_and(w.clinic_id <> all(:clinic_ids::bigint[]))
) AS e
WHERE NOT EXISTS (
        SELECT FROM appointment_slots AS s
        WHERE s.doctor_id = e.doctor_id AND s.start_time > now() AND s.clinic_id = any(:clinic_ids::bigint[])
    )
ORDER BY e.doctor_id;

-- name: list_user_clinics
-- Lists the clinics that an account works for; none for an account that works for all of them.
SELECT u.clinic_id
FROM user_clinics AS u
WHERE u.user_id = :user_id::bigint
ORDER BY u.clinic_id;

-- name: change_user_clinics
-- Makes these the clinics that an account works for.
WITH gone AS (
    DELETE FROM user_clinics AS u
    WHERE u.user_id = :user_id::bigint AND u.clinic_id <> all(:clinic_ids::bigint[])
)

INSERT INTO user_clinics (user_id, clinic_id)
SELECT :user_id::bigint, w.clinic_id
FROM unnest(:clinic_ids::bigint[]) AS w (clinic_id)
ON CONFLICT (user_id, clinic_id) DO NOTHING;
