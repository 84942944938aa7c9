-- The active doctors among whom somebody searches: one, or those with a specialization; a null filter is off. With some
-- clinics, without the doctors who work only elsewhere. The planner inlines this function.
CREATE OR REPLACE FUNCTION doctors_searched(doctor_id bigint, specialization text, clinic_ids bigint[])
RETURNS TABLE (id bigint)
LANGUAGE sql STABLE AS $$
    SELECT d.id
    FROM doctors AS d
    WHERE
        d.active
        AND (doctors_searched.doctor_id IS NULL OR d.id = doctors_searched.doctor_id)
        AND (doctors_searched.specialization IS NULL OR d.specialization ~ doctors_searched.specialization)
        AND (
            doctors_searched.clinic_ids IS NULL
            OR d.id NOT IN (
                SELECT w.doctor_id FROM doctor_clinics AS w
                GROUP BY w.doctor_id
                HAVING NOT bool_or(w.clinic_id = any(doctors_searched.clinic_ids))
            )
        )
$$;
