-- For the release before this one, which closes a slot that gets other seats or visit types and adds another. Calls
-- `apply_schedule_2` with no slot to change in place.
CREATE OR REPLACE FUNCTION apply_schedule(
    doctor_ids bigint[],
    starts_from timestamptz,
    starts_before timestamptz,
    fingerprint text,
    first_new_id bigint,
    rules jsonb,
    removed_rule_ids bigint[],
    closures jsonb,
    removed_closure_ids bigint[],
    clinic_ids bigint[],
    time_zones text[],
    added_rule_ids bigint[],
    added_starts timestamptz[],
    added_ends timestamptz[],
    added_local_starts timestamp[],
    closed_slot_ids bigint[],
    closed_by bigint[],
    drifted_slot_ids bigint[],
    undrifted_slot_ids bigint[],
    reopened_slot_ids bigint[],
    stamped_slot_ids bigint[],
    stamped_versions integer[],
    stamped_local_starts timestamp[],
    stamped_closures bigint[],
    hit_slot_ids bigint[],
    booking_ids bigint[],
    cancelled_ids bigint[],
    messages text[],
    runs jsonb,
    actor text,
    subject text,
    details text,
    request_id text
) RETURNS TABLE (
    outcome text,
    new_rule_ids bigint[],
    new_closure_ids bigint[],
    slot_ids bigint[],
    cancelled_holds integer
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
BEGIN
    RETURN QUERY
    SELECT a.outcome, a.new_rule_ids, a.new_closure_ids, a.slot_ids, a.cancelled_holds
    FROM apply_schedule_2(
            doctor_ids => apply_schedule.doctor_ids,
            starts_from => apply_schedule.starts_from,
            starts_before => apply_schedule.starts_before,
            fingerprint => apply_schedule.fingerprint,
            first_new_id => apply_schedule.first_new_id,
            rules => apply_schedule.rules,
            removed_rule_ids => apply_schedule.removed_rule_ids,
            closures => apply_schedule.closures,
            removed_closure_ids => apply_schedule.removed_closure_ids,
            clinic_ids => apply_schedule.clinic_ids,
            time_zones => apply_schedule.time_zones,
            added_rule_ids => apply_schedule.added_rule_ids,
            added_starts => apply_schedule.added_starts,
            added_ends => apply_schedule.added_ends,
            added_local_starts => apply_schedule.added_local_starts,
            closed_slot_ids => apply_schedule.closed_slot_ids,
            closed_by => apply_schedule.closed_by,
            drifted_slot_ids => apply_schedule.drifted_slot_ids,
            undrifted_slot_ids => apply_schedule.undrifted_slot_ids,
            reopened_slot_ids => apply_schedule.reopened_slot_ids,
            stamped_slot_ids => apply_schedule.stamped_slot_ids,
            stamped_versions => apply_schedule.stamped_versions,
            stamped_local_starts => apply_schedule.stamped_local_starts,
            stamped_closures => apply_schedule.stamped_closures,
            hit_slot_ids => apply_schedule.hit_slot_ids,
            booking_ids => apply_schedule.booking_ids,
            cancelled_ids => apply_schedule.cancelled_ids,
            messages => apply_schedule.messages,
            runs => apply_schedule.runs,
            actor => apply_schedule.actor,
            subject => apply_schedule.subject,
            details => apply_schedule.details,
            request_id => apply_schedule.request_id,
            type_ids => '{}',
            type_minutes => '{}',
            type_buffers => '{}',
            changed_slot_ids => '{}',
            changed_seats => '{}'
        ) AS a;
END
$$;
