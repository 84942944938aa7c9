-- Locks patients for visit types with a limit, each together with the type. Two bookings of one patient for different
-- slots would otherwise not see each other:
--   one: locks its slot, counts the patient's visits     other: locks another slot, counts the same visits
--   one: books                                           other: books one too many
-- All locks are taken in one order, and after those of slots: whoever waits here has all slots that it needs.
CREATE OR REPLACE FUNCTION lock_patients(visit_type_ids bigint[], user_ids bigint[], user_emails text[])
RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(k.key)
    FROM (
        SELECT DISTINCT hashtextextended(v.visit, 0) AS key
        FROM unnest(visit_type_ids, user_ids, user_emails) AS w (visit_type_id, user_id, user_email)
        INNER JOIN visit_types AS t ON w.visit_type_id = t.id
        CROSS JOIN LATERAL unnest(visits_of(t.id, patient_keys(w.user_id, w.user_email))) AS v (visit)
        WHERE t.max_live_per_patient IS NOT NULL
        ORDER BY key
        LIMIT 2147483647
    ) AS k;
END
$$;
