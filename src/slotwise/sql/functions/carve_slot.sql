-- Makes a slot of a time in an open window, and returns its id. If there is an empty slot with that period, it is used
-- again, so that a time that is held and released again and again does not leave a row each time.
-- The seat of a new slot counts as taken already, although its ledger begins with a free one: the caller holds it next,
-- or sets it free. So it does not enter the indexes of free slots, and to hold it writes to no index.
-- Closes the other empty slots in the way. The caller must hold the locks of the window and of all these slots; this
-- function takes none.
CREATE OR REPLACE FUNCTION carve_slot(
    -- Null if there is none with that period.
    empty_slot_id bigint,
    -- Null if there are none.
    other_empty_ids bigint[],
    window_id bigint,
    start_time timestamptz,
    end_time timestamptz,
    visit_type_id bigint
) RETURNS bigint LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    slot_id bigint := empty_slot_id;
BEGIN
    IF other_empty_ids IS NOT NULL THEN
        PERFORM close_empty_slots(other_empty_ids);
    END IF;

    IF slot_id IS NULL THEN
        INSERT INTO appointment_slots (
            doctor_id, clinic_id, start_time, end_time, total_seats, available_seats, visit_type_ids, window_id
        )
        SELECT v.doctor_id, v.clinic_id, start_time, end_time, 1, 0, ARRAY[visit_type_id], v.id
        FROM windows AS v
        WHERE v.id = window_id
        RETURNING appointment_slots.id INTO slot_id;

        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        VALUES (slot_id, 1, 'CREATED', NULL, 1, 1, 1, 'carving', clock_timestamp());
        RETURN slot_id;
    END IF;

    INSERT INTO booking_events (
        slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
    )
    SELECT s.id, s.last_event + 1, 'REOPENED', NULL, 1, 1, 1, 'carving', clock_timestamp()
    FROM appointment_slots AS s
    WHERE s.id = slot_id AND s.status = 'CLOSED';

    -- Nothing to write if the same visit was held here before.
    UPDATE appointment_slots AS s
    SET
        status = 'OPEN',
        last_event = s.last_event + (s.status = 'CLOSED')::integer,
        closure_id = NULL,
        drifted = FALSE,
        pinned = FALSE,
        window_id = carve_slot.window_id,
        clinic_id = v.clinic_id,
        visit_type_ids = ARRAY[visit_type_id],
        busy_until = busy_until_of(s.end_time, ARRAY[visit_type_id]),
        updated_at = clock_timestamp()
    FROM windows AS v
    WHERE
        s.id = slot_id
        AND v.id = window_id
        AND (
            s.status = 'CLOSED'
            OR s.pinned
            OR s.window_id <> window_id
            OR s.visit_type_ids <> ARRAY[visit_type_id]
            OR s.busy_until IS DISTINCT FROM busy_until_of(s.end_time, ARRAY[visit_type_id])
        );
    RETURN slot_id;
END
$$;
