-- name: list_named_doctors
-- Lists the doctors with some names, by id.
SELECT d.id, d.name, d.specialization
FROM doctors AS d
WHERE d.name = any(:names::text[])
ORDER BY d.id;

-- name: list_named_clinics
-- Lists the clinics that are open, by id.
SELECT c.id, c.name, c.time_zone, c.version
FROM clinics AS c
WHERE c.active
ORDER BY c.id;
