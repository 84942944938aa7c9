-- name: create_doctor
-- Adds a doctor.
INSERT INTO doctors AS d (name, specialization)
VALUES (:name::text, :specialization::text)
RETURNING d.doctor_columns;

-- name: get_doctor
-- Reads a doctor.
SELECT d.doctor_columns
FROM doctors AS d
WHERE d.id = :doctor_id::bigint;

-- name: list_doctors
-- Lists all doctors that match, by id: the caller sorts them by name, in an order that the database does not have.
-- Patterns are those of `db/search_patterns.py`: `pattern` of name and specialization together.
SELECT d.doctor_columns
FROM doctors AS d
WHERE
    (d.active OR :with_inactive::boolean)
    AND (:specialization::text IS NULL OR d.specialization ~ :specialization::text)
    AND (:pattern::text IS NULL OR concat_ws(' ', d.name, d.specialization) ~ :pattern::text)
ORDER BY d.id;

-- name: list_specializations
-- Lists the specializations of active doctors, or of all, in each spelling, by the lowest id of their doctors.
SELECT d.specialization
FROM doctors AS d
WHERE d.specialization IS NOT NULL AND (d.active OR :with_inactive::boolean)
GROUP BY d.specialization
ORDER BY min(d.id)
LIMIT :limit::integer;

-- name: lock_doctor
-- Takes a doctor's lock and reads the doctor under it.
SELECT d.doctor_columns
FROM doctors AS d
WHERE d.id = :doctor_id::bigint
FOR NO KEY UPDATE;

-- name: update_doctor
-- Changes the fields that are not null; `clear_specialization` removes the specialization.
UPDATE doctors AS d
SET
    name = coalesce(:name::text, d.name),
    specialization
    = CASE WHEN :clear_specialization::boolean THEN NULL ELSE coalesce(:specialization::text, d.specialization) END,
    active = coalesce(:active::boolean, d.active),
    updated_at = now()
WHERE d.id = :doctor_id::bigint
RETURNING d.doctor_columns;
