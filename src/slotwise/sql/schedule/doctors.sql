-- name: create_doctor
-- Adds a doctor.
INSERT INTO doctors AS d (name, name_sort_key, specialization)
VALUES (:name::text, :name_sort_key::bytea, :specialization::text)
RETURNING d.doctor_columns;

-- name: get_doctor
-- Reads a doctor.
SELECT d.doctor_columns
FROM doctors AS d
WHERE d.id = :doctor_id::bigint;

-- name: list_doctors
-- A page of doctors by name, after a position; doctors of the same name by id.
-- Patterns are those of `db/search_patterns.py`: `pattern` of name and specialization together.
SELECT d.doctor_columns
FROM doctors AS d
WHERE
    (d.name_sort_key, d.id) > (:after_key::bytea, :after_id::bigint)
    AND (d.active OR :with_inactive::boolean)
    AND (:specialization::text IS NULL OR d.specialization ~ :specialization::text)
    AND (:pattern::text IS NULL OR concat_ws(' ', d.name, d.specialization) ~ :pattern::text)
ORDER BY d.name_sort_key, d.id
LIMIT :limit::integer;

-- name: list_sort_keys
-- Some doctors by id, with the keys that they are sorted by.
SELECT d.id, d.name, d.name_sort_key
FROM doctors AS d
WHERE d.id > :after_id::bigint
ORDER BY d.id
LIMIT :limit::integer;

-- name: write_sort_keys
-- Gives doctors other keys, if they still have the names that the keys were made of. No field that people see changes.
-- Locks in the order of ids. Two servers that start at once would otherwise each wait for a row that the other has.
WITH locked AS MATERIALIZED (
    SELECT d.id, w.name_sort_key
    FROM doctors AS d
    INNER JOIN
        unnest(:ids::bigint[], :names::text[], :name_sort_keys::bytea[]) AS w (id, name, name_sort_key)
        ON d.id = w.id AND d.name = w.name
    ORDER BY d.id
    FOR NO KEY UPDATE OF d
)

UPDATE doctors AS d
SET name_sort_key = l.name_sort_key
FROM locked AS l
WHERE d.id = l.id;

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
    name_sort_key = coalesce(:name_sort_key::bytea, d.name_sort_key),
    specialization
    = CASE WHEN :clear_specialization::boolean THEN NULL ELSE coalesce(:specialization::text, d.specialization) END,
    active = coalesce(:active::boolean, d.active),
    updated_at = now()
WHERE d.id = :doctor_id::bigint
RETURNING d.doctor_columns;
