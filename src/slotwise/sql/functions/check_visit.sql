-- Why a visit of a type cannot be held in a slot; null if it can. For `hold_seats_3`, under its locks.
CREATE OR REPLACE FUNCTION check_visit(
    visit_type_id bigint,
    -- The types of the slot.
    offered bigint[],
    start_time timestamptz,
    clock timestamptz,
    user_id bigint,
    -- As for `check_patient`.
    patients bytea[],
    admitted text[],
    -- The desk may book whatever is active and of the slot.
    by_desk boolean
) RETURNS text LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    kind visit_types;
    refusal text;
BEGIN
    SELECT t.* INTO kind FROM visit_types AS t WHERE t.id = visit_type_id AND t.id = any(offered);
    IF kind.id IS NULL THEN
        RETURN 'visit_type_not_offered';
    END IF;

    SELECT c.refusal INTO refusal FROM check_types(ARRAY[kind.id], start_time, clock, by_desk) AS c;
    IF refusal IS NOT NULL THEN
        RETURN refusal;
    END IF;
    IF by_desk THEN
        RETURN NULL;
    END IF;
    IF kind.bookable_by = 'ACCOUNTS' AND user_id IS NULL THEN
        RETURN 'account_needed';
    END IF;
    -- Most types are for any patient, without a limit. For these, the call would double the cost of this function.
    IF kind.patients = 'ANY' AND kind.max_live_per_patient IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN check_patient(kind.id, user_id, patients, admitted, NULL, clock);
END
$$;
