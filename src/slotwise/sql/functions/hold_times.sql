-- Holds times in open windows for a batch of requests, in order of arrival. Each time is carved out of its window as a
-- slot with one seat, which `hold_seats_3` then holds. Returns its rows, with two more outcomes: 'time_gone' for a time
-- that its window does not have (any more), and 'again' for a request that must be tried again: it overlaps the time of
-- another one of this batch, of which it is not certain yet whether it is held.
-- No other visit comes too near meanwhile, because the windows are locked:
--   one: locks its window, finds 9:00 free     other: waits for the window, then finds 9:00 taken
-- Whoever adds, moves, opens or closes slots or windows of the doctor locks the doctor and then these windows, too.
--
-- The steps:
--   1. lock the windows, then the slots in the way that may be empty
--   2. fail their overdue holds
--   3. find a slot for each request, or why there is none
--   4. hold the slots
CREATE OR REPLACE FUNCTION hold_times(
    -- What was offered. A visit that takes longer or shorter by now is another time.
    window_ids bigint[],
    start_times timestamptz[],
    end_times timestamptz[],
    visit_type_ids bigint[],
    -- As for `hold_seats_3`.
    user_ids bigint[],
    user_names text[],
    user_emails text[],
    confirmed boolean[],
    manage_token_hashes bytea[],
    actors text[],
    callers text[],
    routes text[],
    key_hashes bytea[],
    body_hashes bytea[],
    manage_nonces bytea[],
    request_ids text[],
    hold_seconds integer,
    keep_seconds integer,
    by_desk boolean
) RETURNS TABLE (
    place integer,
    outcome text,
    replayed boolean,
    available_seats integer,
    booking bookings_now,
    -- Of all slots in the way; only in the row of the first request.
    expired_holds integer,
    manage_nonce bytea
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    clock timestamptz;
    near bigint[];
    expired integer := 0;
    wanted record;
    -- What is in the way of a time: whether it is taken or undecided, the empty slot with its period, the other empty ones.
    there record;
    -- By the place of a request.
    slot_ids bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(window_ids)]);
    refusals text[] := array_fill(NULL::text, ARRAY[cardinality(window_ids)]);
    -- The slots of this batch, which nobody has yet.
    chosen bigint[] := '{}';
    -- Those of them that were made just now.
    fresh bigint[] := '{}';
BEGIN
    -- 1. Lock.
    PERFORM 1
    FROM windows AS v
    WHERE v.id IN (
        SELECT o.id
        FROM unnest(window_ids, start_times, end_times) AS w (window_id, start_time, end_time)
        INNER JOIN windows AS asked ON w.window_id = asked.id
        CROSS JOIN LATERAL windows_near(asked.doctor_id, w.start_time, w.end_time) AS o
    )
    ORDER BY v.id
    FOR NO KEY UPDATE;

    near := ARRAY(
        SELECT DISTINCT o.id
        FROM unnest(window_ids, start_times, end_times) AS w (window_id, start_time, end_time)
        INNER JOIN windows AS v ON w.window_id = v.id
        CROSS JOIN LATERAL slots_in_the_way(v.doctor_id, w.start_time, w.end_time + interval '4 hours') AS o
        WHERE o.window_id IS NOT NULL OR o.status = 'CLOSED'
    );
    PERFORM 1 FROM appointment_slots AS s WHERE s.id = any(near) ORDER BY s.id FOR NO KEY UPDATE;
    clock := clock_timestamp();

    -- 2. Fail overdue holds.
    IF clock >= (
        SELECT min(b.expires_at) FROM bookings AS b WHERE b.slot_id = any(near) AND b.status = 'PENDING'
    ) THEN
        SELECT coalesce(sum(e.holds), 0) INTO expired FROM expire_holds(near, 'carving') AS e;
    END IF;

    -- 3. Find slots.
    FOR wanted IN
        SELECT
            w.place,
            w.window_id,
            w.start_time,
            w.end_time,
            v.doctor_id,
            v.clinic_id,
            w.visit_type_id,
            w.end_time + make_interval(mins => t.buffer_minutes) AS busy_until,
            CASE
                WHEN
                    v.id IS NULL
                    OR v.status <> 'OPEN'
                    OR NOT d.active
                    OR NOT c.active
                    OR w.start_time < v.start_time
                    OR w.end_time > v.end_time
                    OR t.id IS NULL
                    OR w.end_time <> w.start_time + make_interval(mins => t.minutes)
                    OR EXISTS (
                        SELECT
                        FROM closures AS g
                        WHERE
                            g.removed_at IS NULL
                            AND g.end_time > w.start_time
                            AND g.start_time < w.end_time
                            AND coalesce(g.doctor_id, v.doctor_id) = v.doctor_id
                            AND coalesce(g.clinic_id, v.clinic_id) = v.clinic_id
                    )
                    THEN 'time_gone'
                WHEN t.id <> all(r.visit_type_ids) THEN 'visit_type_not_offered'
                WHEN w.start_time <= clock THEN 'slot_started'
                ELSE (SELECT k.refusal FROM check_types(ARRAY[t.id], w.start_time, clock, by_desk) AS k)
            END AS refusal
        FROM unnest(window_ids, start_times, end_times, visit_type_ids) WITH ORDINALITY AS w (
            window_id, start_time, end_time, visit_type_id, place
        )
        LEFT JOIN windows AS v ON w.window_id = v.id
        LEFT JOIN schedule_rules AS r ON v.rule_id = r.id
        LEFT JOIN doctors AS d ON v.doctor_id = d.id
        LEFT JOIN clinics AS c ON v.clinic_id = c.id
        LEFT JOIN visit_types AS t ON w.visit_type_id = t.id
        ORDER BY w.place
    LOOP
        refusals[wanted.place] := wanted.refusal;
        CONTINUE WHEN wanted.refusal IS NOT NULL;

        SELECT
            coalesce(bool_or(NOT o.empty), FALSE) AS taken,
            coalesce(bool_or(o.id = any(chosen) AND NOT o.same), FALSE) AS undecided,
            min(o.id) FILTER (WHERE o.same) AS slot_id,
            array_agg(o.id) FILTER (WHERE NOT o.same AND o.status = 'OPEN') AS empty_ids
        INTO there
        FROM (
            SELECT
                s.id,
                s.status,
                s.empty OR s.id = any(fresh) AS empty,
                -- A person may have given it more seats.
                (s.empty OR s.id = any(fresh))
                AND (s.start_time, s.end_time, s.total_seats) = (wanted.start_time, wanted.end_time, 1) AS same
            FROM slots_in_the_way(wanted.doctor_id, wanted.start_time, wanted.busy_until) AS s
        ) AS o;

        IF there.taken OR there.undecided THEN
            refusals[wanted.place] := CASE WHEN there.taken THEN 'slot_full' ELSE 'again' END;
        ELSE
            slot_ids[wanted.place] := carve_slot(
                there.slot_id,
                there.empty_ids,
                wanted.window_id,
                wanted.start_time,
                wanted.end_time,
                wanted.visit_type_id
            );
            chosen := chosen || slot_ids[wanted.place];
            IF there.slot_id IS NULL THEN
                fresh := fresh || slot_ids[wanted.place];
            END IF;
        END IF;
    END LOOP;

    -- 4. Hold.
    RETURN QUERY
    SELECT
        h.place,
        h.outcome,
        h.replayed,
        h.available_seats,
        h.booking,
        h.expired_holds + CASE WHEN h.place = 1 THEN expired ELSE 0 END,
        h.manage_nonce
    FROM hold_seats_3(
            slot_ids => slot_ids,
            seats => array_fill(1, ARRAY[cardinality(slot_ids)]),
            user_ids => user_ids,
            user_names => user_names,
            user_emails => user_emails,
            confirmed => confirmed,
            manage_token_hashes => manage_token_hashes,
            actors => actors,
            callers => callers,
            routes => routes,
            key_hashes => key_hashes,
            body_hashes => body_hashes,
            manage_nonces => manage_nonces,
            request_ids => request_ids,
            hold_seconds => hold_seconds,
            keep_seconds => keep_seconds,
            visit_type_ids => visit_type_ids,
            by_desk => by_desk,
            refusals => refusals
        ) AS h;

    -- What was made and then not held, because the patient may not book it, is free.
    UPDATE appointment_slots AS s
    SET available_seats = s.total_seats
    WHERE s.id = any(fresh) AND s.last_event = 1;
END
$$;
