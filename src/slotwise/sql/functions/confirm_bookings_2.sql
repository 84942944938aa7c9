-- Confirms the live holds of a batch as `confirm_bookings` does, whose outcomes it has, and besides these
-- 'booking_limit_reached', 'for_new_patients_only' and 'for_returning_patients_only'. A guest's hold has no e-mail
-- address until it is confirmed, so only here is it known whose visit it is. A refused hold stays a hold.
CREATE OR REPLACE FUNCTION confirm_bookings_2(
    booking_ids bigint[],
    user_names text[],
    user_emails text[],
    actors text[],
    request_ids text[],
    -- True for the desk, which may confirm in spite of the rules of visit types.
    by_desk boolean
) RETURNS TABLE (booking bookings_now, outcome text) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_variable
DECLARE
    wanted record;
    patients bytea[];
    refusal text;
    refused bigint[] := '{}';
    refusals text[] := '{}';
BEGIN
    -- A clinic without visit types pays nothing. A booking's visit type never changes, so this needs no lock.
    IF NOT EXISTS (SELECT FROM visit_types) OR NOT EXISTS (
        SELECT FROM bookings AS b WHERE b.id = any(booking_ids) AND b.visit_type_id IS NOT NULL
    ) THEN
        RETURN QUERY
        SELECT c.booking, c.outcome
        FROM confirm_bookings(booking_ids, user_names, user_emails, actors, request_ids) AS c;
        RETURN;
    END IF;

    PERFORM 1
    FROM appointment_slots AS s
    WHERE s.id = any(ARRAY(SELECT b.slot_id FROM bookings AS b WHERE b.id = any(booking_ids)))
    ORDER BY s.id
    FOR NO KEY UPDATE;
    PERFORM lock_patients(w.visit_types, w.users, w.emails)
    FROM (
        SELECT
            array_agg(b.visit_type_id) AS visit_types,
            array_agg(b.user_id) AS users,
            array_agg(coalesce(b.user_email, w.user_email)) AS emails
        FROM unnest(booking_ids, user_emails) AS w (booking_id, user_email)
        INNER JOIN bookings AS b ON w.booking_id = b.id
    ) AS w;

    FOR wanted IN
        SELECT b.id, b.visit_type_id, b.user_id, coalesce(b.user_email, w.user_email) AS user_email
        FROM unnest(booking_ids, user_emails) WITH ORDINALITY AS w (booking_id, user_email, position)
        INNER JOIN bookings AS b ON w.booking_id = b.id
        WHERE b.status = 'PENDING' AND b.expires_at > clock_timestamp() AND b.visit_type_id IS NOT NULL
        ORDER BY w.position
    LOOP
        patients := patient_keys(wanted.user_id, wanted.user_email);
        refusal := CASE
            WHEN NOT by_desk
                THEN check_patient(
                    wanted.visit_type_id, wanted.user_id, patients, '{}', wanted.id, clock_timestamp()
                )
        END;
        IF refusal IS NULL THEN
            -- At once, so that it counts for the next one of this batch.
            INSERT INTO patient_visits (patient, visit_type_id, booking_id)
            SELECT p.patient, wanted.visit_type_id, wanted.id
            FROM unnest(patients) AS p (patient)
            ON CONFLICT DO NOTHING;
        ELSE
            refused := refused || wanted.id;
            refusals := refusals || refusal;
        END IF;
    END LOOP;

    RETURN QUERY
    SELECT c.booking, c.outcome
    FROM (
        SELECT
            array_agg(w.booking_id ORDER BY w.position) AS booking_ids,
            array_agg(w.user_name ORDER BY w.position) AS user_names,
            array_agg(w.user_email ORDER BY w.position) AS user_emails,
            array_agg(w.actor ORDER BY w.position) AS actors,
            array_agg(w.request_id ORDER BY w.position) AS request_ids
        FROM unnest(booking_ids, user_names, user_emails, actors, request_ids)
            WITH ORDINALITY AS w (booking_id, user_name, user_email, actor, request_id, position)
        WHERE w.booking_id <> all(refused)
        HAVING count(*) > 0
    ) AS r
    CROSS JOIN
        LATERAL confirm_bookings(
            r.booking_ids,
            r.user_names,
            r.user_emails,
            r.actors,
            CASE WHEN confirm_bookings_2.request_ids IS NOT NULL THEN r.request_ids END
        ) AS c;

    RETURN QUERY
    SELECT b, r.refusal
    FROM unnest(refused, refusals) AS r (id, refusal)
    INNER JOIN bookings_now AS b ON r.id = b.id;
END
$$;
