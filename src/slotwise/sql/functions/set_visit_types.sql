-- Gives a slot other visit types, or none, and notes who did it. Bookings keep the type that they were made for, and
-- its buffer.
-- Locks doctor and windows first, as adding a slot does: the buffer of the types must not reach into another slot.
CREATE OR REPLACE FUNCTION set_visit_types(
    slot_id bigint,
    visit_type_ids bigint[],
    actor text,
    details text,
    request_id text
) RETURNS TABLE (
    -- 'updated', 'too_short' if a type takes longer than the slot, or 'overlaps' if the slot would take the doctor's
    -- time of another one.
    outcome text,
    overlapped_start timestamptz,
    overlapped_end timestamptz,
    overlapped_closed boolean,
    -- The slot's; null if it was not changed.
    updated_at timestamptz
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_variable
DECLARE
    owner bigint := (SELECT s.doctor_id FROM appointment_slots AS s WHERE s.id = slot_id);
    slot appointment_slots;
    busy_until timestamptz;
BEGIN
    LOOP
        PERFORM 1 FROM doctors AS d WHERE d.id = owner FOR NO KEY UPDATE;
        -- A colleague may have taken over the slot while this waited. From here on that needs the lock just taken.
        EXIT WHEN owner IS NOT DISTINCT FROM (SELECT s.doctor_id FROM appointment_slots AS s WHERE s.id = slot_id);
        owner := (SELECT s.doctor_id FROM appointment_slots AS s WHERE s.id = slot_id);
    END LOOP;
    -- Its period does not change any more, either. Nothing is to be carved in the time of its buffer.
    PERFORM lock_windows(ARRAY[owner], s.start_time, s.end_time) FROM appointment_slots AS s WHERE s.id = slot_id;
    PERFORM 1 FROM appointment_slots AS s WHERE s.id = slot_id ORDER BY s.id FOR NO KEY UPDATE;

    SELECT s.* INTO slot FROM appointment_slots AS s WHERE s.id = slot_id;
    busy_until := busy_until_of_slot(slot_id, slot.end_time, visit_type_ids);
    IF (slot.status = 'OPEN' OR slot.available_seats < slot.total_seats) AND busy_until IS NOT NULL THEN
        SELECT o.start_time, o.end_time, o.closed INTO overlapped_start, overlapped_end, overlapped_closed
        FROM find_overlapped(owner, slot.start_time, busy_until, slot_id) AS o;
    END IF;
    outcome := CASE
        -- It was long enough when it was read.
        WHEN outlast(visit_type_ids, slot.end_time - slot.start_time) THEN 'too_short'
        WHEN overlapped_start IS NOT NULL THEN 'overlaps'
        ELSE 'updated'
    END;

    IF outcome = 'updated' THEN
        UPDATE appointment_slots AS s
        SET
            visit_type_ids = set_visit_types.visit_type_ids,
            busy_until = busy_until,
            -- Its rule leaves alone what a person has changed.
            pinned = s.pinned OR s.rule_id IS NOT NULL,
            updated_at = clock_timestamp()
        WHERE s.id = slot_id
        RETURNING s.updated_at INTO set_visit_types.updated_at;

        INSERT INTO audit_log (actor, action, subject, details, request_id)
        VALUES (actor, 'update_slot', 'slot:' || slot_id, details::jsonb, request_id);
    END IF;
    RETURN NEXT;
END
$$;
