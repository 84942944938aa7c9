-- Why a patient may not have another visit of a type; null if they may. Needs the lock of `lock_patients`.
-- A patient is returning if an appointment of theirs has begun that was not cancelled: any of the account, and those
-- with a visit type of the e-mail address. An index of all bookings by address would make every booking slower.
CREATE OR REPLACE FUNCTION check_patient(
    visit_type_id bigint,
    user_id bigint,
    -- By `patient_keys`. If there are none, nothing is known about the patient, and the confirmation will ask again.
    patients bytea[],
    -- Visits that this batch has admitted already, by `visits_of`.
    admitted text[],
    -- The hold that is being confirmed, which does not count; null for a new one.
    own_booking_id bigint,
    clock timestamptz
) RETURNS text LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_variable
DECLARE
    kind visit_types;
    returning_patient boolean;
    live bigint;
BEGIN
    SELECT t.* INTO kind FROM visit_types AS t WHERE t.id = visit_type_id;
    IF cardinality(patients) = 0 THEN
        RETURN NULL;
    END IF;

    IF kind.patients <> 'ANY' THEN
        returning_patient := EXISTS (
            SELECT
            FROM (
                SELECT v.booking_id FROM patient_visits AS v WHERE v.patient = any(patients)
                UNION
                SELECT a.id FROM bookings_of_account(user_id) AS a
            ) AS o
            INNER JOIN bookings AS b ON o.booking_id = b.id
            INNER JOIN appointment_slots AS s ON b.slot_id = s.id
            WHERE b.status = 'CONFIRMED' AND s.start_time <= clock
        );
        IF kind.patients = 'NEW' AND returning_patient THEN
            RETURN 'for_new_patients_only';
        ELSIF kind.patients = 'RETURNING' AND NOT returning_patient THEN
            RETURN 'for_returning_patients_only';
        END IF;
    END IF;

    IF kind.max_live_per_patient IS NOT NULL THEN
        SELECT count(DISTINCT v.booking_id) INTO live
        FROM patient_visits AS v
        INNER JOIN bookings AS b ON v.booking_id = b.id
        INNER JOIN appointment_slots AS s ON b.slot_id = s.id
        WHERE
            v.patient = any(patients)
            AND v.visit_type_id = kind.id
            AND v.booking_id IS DISTINCT FROM own_booking_id
            AND s.start_time > clock
            AND (b.status = 'CONFIRMED' OR (b.status = 'PENDING' AND b.expires_at > clock));
        live := live + (
            SELECT coalesce(max(n.times), 0)
            FROM (
                SELECT count(*) AS times
                FROM unnest(admitted) AS a (visit)
                WHERE a.visit = any(visits_of(kind.id, patients))
                GROUP BY a.visit
            ) AS n
        );
        IF live >= kind.max_live_per_patient THEN
            RETURN 'booking_limit_reached';
        END IF;
    END IF;
    RETURN NULL;
END
$$;
