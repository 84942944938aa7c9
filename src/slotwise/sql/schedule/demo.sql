-- name: is_empty
-- Tells whether there are no doctors and no slots yet.
SELECT NOT EXISTS (SELECT 1 FROM doctors) AND NOT EXISTS (SELECT 1 FROM appointment_slots) AS found;

-- name: create_doctors
-- Adds several doctors; returns their ids in the given order.
WITH wanted AS (
    SELECT nextval('doctors_id_seq') AS id, w.name, w.name_sort_key, w.specialization, w.position
    FROM
        unnest(:names::text[], :name_sort_keys::bytea[], :specializations::text[])
        WITH ORDINALITY AS w (name, name_sort_key, specialization, position)
),

written AS (
    INSERT INTO doctors (id, name, name_sort_key, specialization)
    SELECT w.id, w.name, w.name_sort_key, w.specialization FROM wanted AS w
)

SELECT w.id
FROM wanted AS w
ORDER BY w.position;
