-- Closes windows that no rule wants any more and adds those that rules want, after `apply_schedule_2` has applied the
-- rest of the change. That call locked the doctors, all their open windows and the slots that were carved out of them,
-- so nothing is carved until the commit:
--   this call: closes the window      patient: waits for the window, then reads that it is closed
-- Visits that are booked there were in the preview. Holds come and go: those of times that are in no window any more
-- are cancelled, and their slots are closed.
CREATE OR REPLACE FUNCTION write_windows(
    -- Of `apply_schedule_2`. Unless it applied the change, nothing is done.
    outcome text,
    new_rule_ids bigint[],
    first_new_id bigint,
    closed_window_ids bigint[],
    -- The windows to add. A new rule is referred to by its place from `first_new_id` on.
    added_rule_ids bigint[],
    added_starts timestamptz[],
    added_ends timestamptz[],
    added_local_starts timestamp[],
    actor text,
    request_id text
) RETURNS TABLE (
    -- The slots whose holds were cancelled.
    slot_ids bigint[],
    cancelled_holds integer
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    ended bigint[];
BEGIN
    slot_ids := '{}';
    cancelled_holds := 0;
    IF outcome <> 'applied' OR cardinality(closed_window_ids || added_rule_ids) = 0 THEN
        RETURN NEXT;
        RETURN;
    END IF;

    UPDATE windows AS v
    SET status = 'CLOSED', updated_at = clock_timestamp()
    WHERE v.id = any(closed_window_ids);

    INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)
    SELECT r.doctor_id, r.clinic_id, r.id, a.start_time, a.end_time, a.local_start
    FROM unnest(added_rule_ids, added_starts, added_ends, added_local_starts)
        WITH ORDINALITY AS a (rule_id, start_time, end_time, local_start, position)
    INNER JOIN schedule_rules AS r
        ON r.id = CASE WHEN a.rule_id < first_new_id THEN a.rule_id ELSE new_rule_ids[(a.rule_id - first_new_id + 1)::integer] END
    ORDER BY a.position;

    slot_ids := ARRAY(
        SELECT s.id
        FROM (
            SELECT c.doctor_id, min(c.start_time) AS starts_from, max(c.end_time) AS ends_before
            FROM unnest(closed_window_ids) AS w (id)
            CROSS JOIN LATERAL (
                SELECT o.doctor_id, o.start_time, o.end_time FROM windows AS o WHERE o.id = w.id LIMIT 1
            ) AS c
            GROUP BY c.doctor_id
        ) AS d
        CROSS JOIN LATERAL slots_of_windows(ARRAY[d.doctor_id], d.starts_from, d.ends_before) AS f
        -- By their ids, also with a plan from when there were few of them.
        CROSS JOIN LATERAL (
            SELECT o.id, o.doctor_id, o.clinic_id, o.window_id, o.start_time, o.end_time, o.pinned
            FROM appointment_slots AS o
            WHERE o.id = f.id
            LIMIT 1
        ) AS s
        CROSS JOIN LATERAL (
            SELECT o.id FROM windows AS o WHERE o.id = s.window_id AND o.doctor_id = s.doctor_id LIMIT 1
        ) AS v
        WHERE
            s.start_time > clock_timestamp()
            -- A person wants it there.
            AND NOT s.pinned
            AND NOT EXISTS (
                SELECT
                FROM windows_near(s.doctor_id, s.start_time, s.end_time) AS o
                WHERE o.clinic_id = s.clinic_id AND o.start_time <= s.start_time AND s.end_time <= o.end_time
            )
        ORDER BY s.id
    );
    PERFORM 1 FROM expire_holds(slot_ids, 'update');
    ended := ARRAY(
        SELECT b.id
        FROM unnest(slot_ids) AS f (slot_id)
        CROSS JOIN LATERAL (
            SELECT b.id FROM bookings AS b
            WHERE b.slot_id = f.slot_id AND b.status = 'PENDING'
            ORDER BY b.expires_at
            LIMIT 2147483647
        ) AS b
    );
    cancelled_holds := cardinality(ended);
    IF cancelled_holds > 0 THEN
        PERFORM 1
        FROM cancel_bookings(
                booking_ids => ended,
                reasons => array_fill(NULL::text, ARRAY[cancelled_holds]),
                actors => array_fill(actor, ARRAY[cancelled_holds]),
                only_holds => NULL,
                request_ids => array_fill(request_id, ARRAY[cancelled_holds])
            );
    END IF;
    PERFORM close_empty_slots(slot_ids);
    RETURN NEXT;
END
$$;
