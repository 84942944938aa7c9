-- Gives slots of a doctor who is away to a colleague, with their bookings, seats and ledger: only the doctor changes.
-- The caller holds the locks of both doctors and of the slots (`prepare_takeover`), and the absence is written by now
-- (`apply_schedule_2`): the colleague's times that are in the way are closed, and the bookings to cancel are cancelled.
-- No rule has the slots any more, so that undoing the absence publishes the doctor's own times beside them. What a
-- closure had closed is open again, as the colleague is there.
CREATE OR REPLACE FUNCTION take_over_slots(
    -- Of `apply_schedule_2`. Unless it applied the absence, nothing is done.
    outcome text,
    new_closure_ids bigint[],
    first_new_id bigint,
    -- Null for a change in which no slot goes to a colleague.
    colleague_id bigint,
    taken_slot_ids bigint[],
    -- The closure that each of them lies in; a new one by its place from `first_new_id` on.
    taken_closures bigint[],
    actor text,
    request_id text
) RETURNS TABLE (taken_over integer) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    owners bigint[];
BEGIN
    taken_over := 0;
    IF outcome <> 'applied' OR colleague_id IS NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    owners := ARRAY(
        SELECT s.doctor_id
        FROM unnest(taken_slot_ids) WITH ORDINALITY AS w (slot_id, position)
        INNER JOIN appointment_slots AS s ON w.slot_id = s.id
        ORDER BY w.position
    );

    WITH ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            s.id, s.last_event + e.position, e.kind, NULL, s.total_seats, s.available_seats, s.total_seats, actor,
            clock_timestamp()
        FROM appointment_slots AS s
        CROSS JOIN (VALUES ('MOVED', 1), ('REOPENED', 2)) AS e (kind, position)
        WHERE s.id = any(taken_slot_ids) AND (e.kind = 'MOVED' OR s.closure_id IS NOT NULL)
    )

    UPDATE appointment_slots AS s
    SET
        doctor_id = colleague_id,
        status = CASE WHEN s.closure_id IS NULL THEN s.status ELSE 'OPEN' END,
        closure_id = NULL,
        rule_id = NULL,
        rule_version = NULL,
        local_start = NULL,
        pinned = FALSE,
        drifted = FALSE,
        last_event = s.last_event + CASE WHEN s.closure_id IS NULL THEN 1 ELSE 2 END,
        updated_at = clock_timestamp()
    WHERE s.id = any(taken_slot_ids);
    GET DIAGNOSTICS taken_over = ROW_COUNT;

    INSERT INTO audit_log (actor, action, subject, details, request_id)
    SELECT
        actor,
        'take_over_slot',
        'slot:' || w.slot_id,
        jsonb_build_object(
            'doctor_id', jsonb_build_array(w.owner, colleague_id), 'doctor', jsonb_build_array(o.name, c.name)
        ),
        request_id
    FROM unnest(taken_slot_ids, owners) WITH ORDINALITY AS w (slot_id, owner, position)
    INNER JOIN doctors AS o ON w.owner = o.id
    INNER JOIN doctors AS c ON c.id = colleague_id
    ORDER BY w.position;

    -- By absence, for the list of patients to tell.
    INSERT INTO audit_log (actor, action, subject, details, request_id)
    SELECT
        actor,
        'take_over_slots',
        'closure:' || c.closure_id,
        jsonb_build_object('doctor_id', jsonb_build_array(c.owner, colleague_id), 'slots', c.slot_ids),
        request_id
    FROM (
        SELECT n.closure_id, n.owner, jsonb_agg(n.slot_id ORDER BY n.position) AS slot_ids
        FROM (
            SELECT
                CASE
                    WHEN w.closure_id < first_new_id THEN w.closure_id
                    ELSE new_closure_ids[(w.closure_id - first_new_id + 1)::integer]
                END AS closure_id,
                w.owner,
                w.slot_id,
                w.position
            FROM unnest(taken_slot_ids, taken_closures, owners)
                WITH ORDINALITY AS w (slot_id, closure_id, owner, position)
        ) AS n
        GROUP BY n.closure_id, n.owner
    ) AS c
    ORDER BY c.closure_id;
    RETURN NEXT;
END
$$;
