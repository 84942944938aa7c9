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
--   3. find out which requests get a time, and why the others do not
--   4. make slots of these times
--   5. hold the slots
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
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_column
DECLARE
    clock timestamptz;
    near bigint[];
    expired integer := 0;
    wanted record;
    -- By the place of a request, as the parameters are. A visit takes the doctor's time until the end of its buffer.
    busy_until timestamptz[];
    refusals text[] := array_fill(NULL::text, ARRAY[cardinality(window_ids)]);
    slot_ids bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(window_ids)]);
    -- The places of the requests that get their times, and the empty slots in the way of these.
    given integer[] := '{}';
    empty_ids bigint[] := '{}';
    -- The slots that were made just now.
    fresh bigint[] := '{}';
BEGIN
    -- 1. Lock.
    PERFORM 1
    FROM windows AS v
    WHERE v.id = any(ARRAY(
        SELECT o.id
        FROM unnest(window_ids, start_times, end_times) AS w (window_id, start_time, end_time)
        CROSS JOIN LATERAL (SELECT a.doctor_id FROM windows AS a WHERE a.id = w.window_id LIMIT 1) AS asked
        CROSS JOIN LATERAL (
            SELECT n.id
            FROM windows_near(asked.doctor_id, w.start_time, w.end_time) AS n
            -- Always by the doctor, also with a plan from when there were no windows yet.
            LIMIT 2147483647
        ) AS o
    ))
    ORDER BY v.id
    FOR NO KEY UPDATE;

    -- A change of a type's buffer locks these windows, too.
    busy_until := ARRAY(
        SELECT w.end_time + make_interval(mins => t.buffer_minutes)
        FROM unnest(end_times, visit_type_ids) WITH ORDINALITY AS w (end_time, visit_type_id, place)
        LEFT JOIN visit_types AS t ON w.visit_type_id = t.id
        ORDER BY w.place
    );
    near := ARRAY(
        SELECT DISTINCT o.id
        FROM unnest(window_ids, start_times, busy_until) AS w (window_id, start_time, busy_until)
        CROSS JOIN LATERAL (SELECT a.doctor_id FROM windows AS a WHERE a.id = w.window_id LIMIT 1) AS v
        CROSS JOIN LATERAL (
            SELECT s.id, s.window_id, s.status
            FROM slots_in_the_way(v.doctor_id, w.start_time, w.busy_until) AS s
            -- Always by the doctor and the start, also with a plan from when there were no slots yet.
            LIMIT 2147483647
        ) AS o
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

    -- 3. Find out which requests get a time.
    FOR wanted IN
        WITH asked AS MATERIALIZED (
            SELECT
                w.place::integer AS place,
                v.doctor_id,
                w.start_time,
                w.end_time,
                w.visit_type_id,
                w.busy_until,
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
            FROM unnest(window_ids, start_times, end_times, visit_type_ids, busy_until) WITH ORDINALITY AS w (
                window_id, start_time, end_time, visit_type_id, busy_until, place
            )
            LEFT JOIN windows AS v ON w.window_id = v.id
            -- By their ids, also with a plan from when there was one of each.
            LEFT JOIN LATERAL (
                SELECT o.visit_type_ids FROM schedule_rules AS o WHERE o.id = v.rule_id LIMIT 1
            ) AS r ON TRUE
            LEFT JOIN LATERAL (SELECT o.active FROM doctors AS o WHERE o.id = v.doctor_id LIMIT 1) AS d ON TRUE
            LEFT JOIN clinics AS c ON v.clinic_id = c.id
            LEFT JOIN visit_types AS t ON w.visit_type_id = t.id
        ),

        found AS MATERIALIZED (
            SELECT a.*, coalesce(a.refusal, CASE WHEN o.taken THEN 'slot_full' END) AS outcome, o.slot_id, o.empty_ids
            FROM asked AS a
            CROSS JOIN LATERAL (
                SELECT
                    bool_or(NOT s.empty) AS taken,
                    -- There may be several that are closed. One that is open has to be used, or closed.
                    coalesce(
                        min(s.id) FILTER (WHERE s.same AND s.status = 'OPEN'), min(s.id) FILTER (WHERE s.same)
                    ) AS slot_id,
                    coalesce(array_agg(s.id) FILTER (WHERE NOT s.same AND s.status = 'OPEN'), '{}') AS empty_ids
                FROM (
                    SELECT
                        i.id,
                        i.status,
                        i.empty,
                        -- A person may have given it more seats.
                        i.empty
                        AND (i.start_time, i.end_time, i.total_seats) = (a.start_time, a.end_time, 1) AS same
                    FROM slots_in_the_way(a.doctor_id, a.start_time, a.busy_until) AS i
                    WHERE a.refusal IS NULL
                ) AS s
            ) AS o
        )

        SELECT
            f.place,
            f.outcome,
            f.slot_id,
            f.empty_ids,
            -- The requests before it that are in its way if they get their times. Two for one visit are not.
            ARRAY(
                SELECT e.place
                FROM found AS e
                WHERE
                    e.place < f.place
                    AND e.outcome IS NULL
                    AND e.doctor_id = f.doctor_id
                    AND e.start_time < f.busy_until
                    AND e.busy_until > f.start_time
                    AND (e.start_time, e.end_time, e.visit_type_id) <> (f.start_time, f.end_time, f.visit_type_id)
            ) AS rivals
        FROM found AS f
        ORDER BY f.place
    LOOP
        refusals[wanted.place] := coalesce(wanted.outcome, CASE WHEN wanted.rivals && given THEN 'again' END);
        IF refusals[wanted.place] IS NULL THEN
            given := given || wanted.place;
            slot_ids[wanted.place] := wanted.slot_id;
            empty_ids := empty_ids || wanted.empty_ids;
        END IF;
    END LOOP;

    -- 4. Make slots.
    IF cardinality(empty_ids) > 0 THEN
        PERFORM close_empty_slots(empty_ids);
    END IF;
    FOR wanted IN
        SELECT c.place, c.slot_id, c.fresh
        FROM carve_slots(window_ids, start_times, end_times, visit_type_ids, busy_until, refusals, slot_ids) AS c
    LOOP
        slot_ids[wanted.place] := wanted.slot_id;
        IF wanted.fresh THEN
            fresh := fresh || wanted.slot_id;
        END IF;
    END LOOP;

    -- 5. Hold.
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
