-- name: fill_first_clinic
-- Gives a clinic that nobody has named yet its name, zone and address.
UPDATE clinics AS c
SET name = :name::text, time_zone = :time_zone::text, address = :address::text, version = 1, updated_at = now()
WHERE c.id = :clinic_id::bigint AND c.version = 0;
