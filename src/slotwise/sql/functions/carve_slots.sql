-- Makes a slot of each time in an open window that a batch of requests gets. A slot with that period that is empty is
-- used again, so that a time that is held and released again and again does not leave a row each time. Requests for one
-- visit get one slot; other times of the batch must not overlap. Returns a row for each request that gets a slot.
-- The seat of a new slot counts as taken already, although its ledger begins with a free one: the caller holds it next,
-- or sets it free. So it does not enter the indexes of free slots, and to hold it writes to no index.
-- The caller must hold the locks of the windows and of all these slots; this function takes none.
CREATE OR REPLACE FUNCTION carve_slots(
    -- By the place of a request.
    window_ids bigint[],
    start_times timestamptz[],
    end_times timestamptz[],
    visit_type_ids bigint[],
    busy_until timestamptz[],
    -- Null for a request that gets a slot.
    refusals text[],
    -- The empty slot with that period; null if there is none.
    empty_slot_ids bigint[]
) RETURNS TABLE (place integer, slot_id bigint, fresh boolean) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT
            w.*,
            row_number() OVER (
                PARTITION BY w.window_id, w.start_time, w.end_time, w.visit_type_id ORDER BY w.place
            ) AS number_for_visit
        FROM unnest(window_ids, start_times, end_times, visit_type_ids, busy_until, empty_slot_ids, refusals)
            WITH ORDINALITY AS w (
                window_id, start_time, end_time, visit_type_id, busy_until, slot_id, refusal, place
            )
        WHERE w.refusal IS NULL
    ),

    -- The first request for a visit gets the id of its new slot. So nothing has to be looked up among the new slots,
    -- which would take each request as many steps as there are.
    wanted AS MATERIALIZED (
        SELECT
            a.*,
            CASE WHEN a.slot_id IS NULL AND a.number_for_visit = 1 THEN nextval('appointment_slots_id_seq') END AS new_id
        FROM asked AS a
    ),

    made AS (
        INSERT INTO appointment_slots (
            id, doctor_id, clinic_id, start_time, end_time, busy_until, total_seats, available_seats, visit_type_ids,
            window_id
        )
        SELECT
            w.new_id,
            v.doctor_id,
            v.clinic_id,
            w.start_time,
            w.end_time,
            nullif(w.busy_until, w.end_time),
            1,
            0,
            ARRAY[w.visit_type_id],
            v.id
        FROM wanted AS w
        CROSS JOIN LATERAL (
            SELECT a.id, a.doctor_id, a.clinic_id FROM windows AS a WHERE a.id = w.window_id LIMIT 1
        ) AS v
        WHERE w.new_id IS NOT NULL
    ),

    created AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT w.new_id, 1, 'CREATED', NULL, 1, 1, 1, 'carving', clock_timestamp()
        FROM wanted AS w
        WHERE w.new_id IS NOT NULL
    ),

    used_again AS (
        SELECT DISTINCT
            w.slot_id,
            v.id AS window_id,
            v.clinic_id,
            ARRAY[w.visit_type_id] AS visit_type_ids,
            nullif(w.busy_until, w.end_time) AS busy_until
        FROM wanted AS w
        CROSS JOIN LATERAL (
            SELECT a.id, a.doctor_id, a.clinic_id FROM windows AS a WHERE a.id = w.window_id LIMIT 1
        ) AS v
        WHERE w.slot_id IS NOT NULL
    ),

    reopened AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT s.id, s.last_event + 1, 'REOPENED', NULL, 1, 1, 1, 'carving', clock_timestamp()
        FROM used_again AS u
        INNER JOIN appointment_slots AS s ON u.slot_id = s.id
        WHERE s.status = 'CLOSED'
    ),

    -- Nothing to write if the same visit was held here before.
    changed AS (
        UPDATE appointment_slots AS s
        SET
            status = 'OPEN',
            last_event = s.last_event + (s.status = 'CLOSED')::integer,
            closure_id = NULL,
            drifted = FALSE,
            pinned = FALSE,
            window_id = u.window_id,
            clinic_id = u.clinic_id,
            visit_type_ids = u.visit_type_ids,
            busy_until = u.busy_until,
            updated_at = clock_timestamp()
        FROM used_again AS u
        WHERE
            s.id = u.slot_id
            AND (
                s.status = 'CLOSED'
                OR s.pinned
                -- The desk may have taken all types from it.
                OR (s.window_id, s.visit_type_ids) IS DISTINCT FROM (u.window_id, u.visit_type_ids)
                OR s.busy_until IS DISTINCT FROM u.busy_until
            )
    )

    SELECT
        w.place::integer,
        coalesce(
            w.slot_id, min(w.new_id) OVER (PARTITION BY w.window_id, w.start_time, w.end_time, w.visit_type_id)
        ),
        w.slot_id IS NULL
    FROM wanted AS w;
END
$$;
