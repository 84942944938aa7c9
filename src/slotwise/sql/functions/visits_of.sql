-- A visit type together with each key of a patient, as texts.
CREATE OR REPLACE FUNCTION visits_of(visit_type_id bigint, patients bytea[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT
        coalesce(array_agg(visits_of.visit_type_id || '/' || encode(p.patient, 'hex') ORDER BY p.patient), '{}')
    FROM unnest(visits_of.patients) AS p (patient)
$$;
