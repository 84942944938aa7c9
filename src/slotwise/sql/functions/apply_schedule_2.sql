-- Applies a change of rules and closures, with all that it does to slots and bookings, or nothing.
-- The caller computed it from what it had read before. Under the locks it is compared with what is there now:
--   this call: reads the schedule       another: publishes, moves or closes one of the slots
--   this call: would act on the slots as they were
-- The same for confirmed bookings of the slots that go: a patient who confirms meanwhile was not in the preview.
-- Holds come and go and are not compared; those of the slots that go are cancelled.
-- Locks clinics, visit types, doctors, windows, then slots, each in id order. Whoever adds, moves, closes or reopens a
-- slot locks its doctor first, so what was compared stays true. Bookings of other slots do not wait.
CREATE OR REPLACE FUNCTION apply_schedule_2(
    doctor_ids bigint[],
    starts_from timestamptz,
    starts_before timestamptz,
    -- Of `schedule_fingerprint`, for these doctors and this period.
    fingerprint text,
    -- Rows of `schedule_rules` and `closures` to add or to replace. Those to add have ids from `first_new_id` on, in
    -- order and without gaps, by which the arrays below refer to them, too.
    first_new_id bigint,
    rules jsonb,
    removed_rule_ids bigint[],
    closures jsonb,
    removed_closure_ids bigint[],
    -- The new time zones of clinics.
    clinic_ids bigint[],
    time_zones text[],
    -- The new lengths of visit types.
    type_ids bigint[],
    type_minutes integer[],
    type_buffers integer[],
    -- The slots to add.
    added_rule_ids bigint[],
    added_starts timestamptz[],
    added_ends timestamptz[],
    added_local_starts timestamp[],
    -- The open slots to close, each with its closure, or null; those that stay booked although their rule no longer
    -- says so; and those for which that is over.
    closed_slot_ids bigint[],
    closed_by bigint[],
    drifted_slot_ids bigint[],
    undrifted_slot_ids bigint[],
    -- The slots to reopen, and those, among them the reopened ones, that get other values of the following three.
    reopened_slot_ids bigint[],
    stamped_slot_ids bigint[],
    stamped_versions integer[],
    stamped_local_starts timestamp[],
    stamped_closures bigint[],
    -- The slots that get these seats, besides those of their overbookings, and the visit types of their rules.
    changed_slot_ids bigint[],
    changed_seats integer[],
    -- The slots whose bookings the change concerns, also those to close. Their holds are cancelled. All their confirmed
    -- bookings in id order, and those to cancel, each with what its patient is told.
    hit_slot_ids bigint[],
    booking_ids bigint[],
    cancelled_ids bigint[],
    messages text[],
    -- Rows of `rule_runs`.
    runs jsonb,
    actor text,
    -- What the audit log notes; nothing if there are no details.
    subject text,
    details text,
    request_id text
) RETURNS TABLE (
    -- 'applied', or 'changed' if nothing was done because something changed meanwhile.
    outcome text,
    -- In the order of the added rows.
    new_rule_ids bigint[],
    new_closure_ids bigint[],
    -- All slots whose free seats changed, for those who look at them.
    slot_ids bigint[],
    cancelled_holds integer
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_variable
DECLARE
    touched constant bigint[] := hit_slot_ids || reopened_slot_ids || stamped_slot_ids || undrifted_slot_ids
        || changed_slot_ids;
    live bigint[];
    ended bigint[];
    -- Slots with a booked visit that takes the doctor's time longer than what the slot offers now.
    outlasting bigint[];
    -- Slots that were carved out of windows. The empty ones are in the way of what is added or reopened.
    carved bigint[];
BEGIN
    -- Clinics first, as whoever adds a slot does. Nobody closes a clinic or changes its zone until this is written.
    -- Without doctors, only this lock makes a second call with the same token wait, and see the first.
    IF cardinality(clinic_ids) > 0 OR cardinality(doctor_ids) = 0 THEN
        PERFORM 1 FROM clinics AS c ORDER BY c.id FOR NO KEY UPDATE;
    ELSE
        PERFORM 1 FROM clinics AS c ORDER BY c.id FOR SHARE;
    END IF;
    -- The lengths of visit types that rules were computed from stay true until this is written.
    IF cardinality(type_ids) > 0 THEN
        PERFORM 1 FROM visit_types AS t ORDER BY t.id FOR NO KEY UPDATE;
    ELSIF jsonb_array_length(rules) > 0 THEN
        PERFORM 1 FROM visit_types AS t ORDER BY t.id FOR SHARE;
    END IF;
    -- Another buffer concerns slots of all doctors: `lengthen_buffers`.
    PERFORM 1
    FROM doctors AS d
    WHERE d.id = any(doctor_ids) OR cardinality(type_ids) > 0
    ORDER BY d.id
    FOR NO KEY UPDATE;
    PERFORM lock_windows(doctor_ids, starts_from, starts_before);
    carved := ARRAY(
        SELECT c.id FROM slots_of_windows(doctor_ids, starts_from, starts_before) AS c
        WHERE c.id <> all(closed_slot_ids)
    );
    PERFORM 1
    FROM appointment_slots AS s
    WHERE s.id = any(touched || carved || slots_with_types(type_ids))
    ORDER BY s.id
    FOR NO KEY UPDATE;

    -- In a statement of its own, which sees what was committed while this one waited.
    SELECT coalesce(array_agg(b.id ORDER BY b.id), '{}') INTO live
    FROM unnest(hit_slot_ids) AS h (slot_id)
    CROSS JOIN LATERAL (
        SELECT b.id
        FROM bookings AS b
        WHERE b.slot_id <= h.slot_id AND (b.slot_id, b.id) > (h.slot_id, 0) AND b.status = 'CONFIRMED'
        ORDER BY b.slot_id, b.id
        LIMIT 2147483647
    ) AS b;
    -- In a slot that gets fewer seats, a booking that was confirmed meanwhile may be one too many.
    IF
        live <> booking_ids
        OR fingerprint <> schedule_fingerprint(doctor_ids, starts_from, starts_before)
        -- The release before this one takes a window for a slot. This release publishes it.
        OR EXISTS (
            SELECT
            FROM schedule_rules AS r
            WHERE
                r.doctor_id = any(doctor_ids)
                AND r.removed_at IS NULL
                AND r.kind = 'WINDOW'
                AND r.id = any(added_rule_ids)
                AND NOT EXISTS (
                    SELECT FROM jsonb_array_elements(rules) AS w
                    WHERE (w ->> 'id')::bigint = r.id AND w ->> 'kind' = 'FIXED'
                )
        )
        OR EXISTS (
            SELECT
            FROM unnest(changed_slot_ids, changed_seats) AS w (slot_id, seats)
            INNER JOIN appointment_slots AS s ON w.slot_id = s.id
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(b.seats_booked), 0) AS held
                FROM bookings AS b
                WHERE b.slot_id = s.id AND b.status = 'PENDING'
            ) AS p
            WHERE
                -- Follows from the next line: a short cut, so that bookings are read only where something is too much.
                s.total_seats - s.available_seats > w.seats + s.added_seats
                AND s.total_seats - s.available_seats - p.held > w.seats + s.added_seats
                AND NOT EXISTS (SELECT FROM unnest(hit_slot_ids) AS h (slot_id) WHERE h.slot_id = w.slot_id)
        )
    THEN
        outcome := 'changed';
        RETURN NEXT;
        RETURN;
    END IF;

    new_rule_ids := ARRAY(
        SELECT nextval('schedule_rules_id_seq') FROM jsonb_array_elements(rules) AS r WHERE (r ->> 'id')::bigint >= first_new_id
    );
    new_closure_ids := ARRAY(
        SELECT nextval('closures_id_seq') FROM jsonb_array_elements(closures) AS c WHERE (c ->> 'id')::bigint >= first_new_id
    );

    INSERT INTO schedule_rules AS r (
        id, doctor_id, clinic_id, first_day, last_day, every_weeks, weekday, opens, closes, slot_minutes, break_minutes,
        total_seats, visit_type_ids, kind, step_minutes
    )
    SELECT
        CASE WHEN w.id < first_new_id THEN w.id ELSE new_rule_ids[(w.id - first_new_id + 1)::integer] END,
        w.doctor_id,
        w.clinic_id,
        w.first_day,
        w.last_day,
        w.every_weeks,
        w.weekday,
        w.opens,
        w.closes,
        w.slot_minutes,
        w.break_minutes,
        w.total_seats,
        w.visit_type_ids,
        coalesce(w.kind, o.kind, 'FIXED'),
        CASE WHEN w.kind IS NULL THEN o.step_minutes ELSE w.step_minutes END
    FROM jsonb_populate_recordset(NULL::schedule_rules, rules) AS w
    -- The release before this one does not say what kind a rule is.
    LEFT JOIN schedule_rules AS o ON w.id = o.id
    ON CONFLICT (id) DO UPDATE
        SET
            clinic_id = excluded.clinic_id,
            first_day = excluded.first_day,
            last_day = excluded.last_day,
            every_weeks = excluded.every_weeks,
            weekday = excluded.weekday,
            opens = excluded.opens,
            closes = excluded.closes,
            slot_minutes = excluded.slot_minutes,
            break_minutes = excluded.break_minutes,
            total_seats = excluded.total_seats,
            visit_type_ids = excluded.visit_type_ids,
            kind = excluded.kind,
            step_minutes = excluded.step_minutes,
            version = r.version + 1,
            updated_at = clock_timestamp();
    UPDATE schedule_rules AS r
    SET removed_at = clock_timestamp(), version = r.version + 1, updated_at = clock_timestamp()
    WHERE r.id = any(removed_rule_ids);

    INSERT INTO closures AS c (id, doctor_id, clinic_id, start_time, end_time, kind, reason, message)
    SELECT
        CASE WHEN w.id < first_new_id THEN w.id ELSE new_closure_ids[(w.id - first_new_id + 1)::integer] END,
        w.doctor_id,
        w.clinic_id,
        w.start_time,
        w.end_time,
        w.kind,
        w.reason,
        w.message
    FROM jsonb_populate_recordset(NULL::closures, closures) AS w
    ON CONFLICT (id) DO UPDATE
        SET
            doctor_id = excluded.doctor_id,
            clinic_id = excluded.clinic_id,
            start_time = excluded.start_time,
            end_time = excluded.end_time,
            kind = excluded.kind,
            reason = excluded.reason,
            message = excluded.message,
            version = c.version + 1,
            updated_at = clock_timestamp();
    UPDATE closures AS c
    SET removed_at = clock_timestamp(), version = c.version + 1, updated_at = clock_timestamp()
    WHERE c.id = any(removed_closure_ids);

    UPDATE clinics AS c
    SET time_zone = z.time_zone, version = c.version + 1, updated_at = clock_timestamp()
    FROM unnest(clinic_ids, time_zones) AS z (clinic_id, time_zone)
    WHERE c.id = z.clinic_id;

    UPDATE visit_types AS t
    SET
        minutes = w.minutes,
        buffer_minutes = w.buffer_minutes,
        version = t.version + 1,
        updated_at = clock_timestamp()
    FROM unnest(type_ids, type_minutes, type_buffers) AS w (type_id, minutes, buffer_minutes)
    WHERE t.id = w.type_id;

    -- Bookings end before their slots are closed, so that the ledger tells it in that order. Holds also end in slots
    -- that get fewer seats than are taken.
    PERFORM 1 FROM expire_holds(hit_slot_ids || changed_slot_ids, 'update');
    ended := ARRAY(
        SELECT b.id
        FROM (
            SELECT h.slot_id FROM unnest(hit_slot_ids) AS h (slot_id)
            UNION
            SELECT w.slot_id
            FROM unnest(changed_slot_ids, changed_seats) AS w (slot_id, seats)
            INNER JOIN appointment_slots AS s ON w.slot_id = s.id
            WHERE s.total_seats - s.available_seats > w.seats + s.added_seats
            UNION
            -- Carved since the preview, in a time that is closed now.
            SELECT s.id
            FROM appointment_slots AS s
            INNER JOIN closures AS g ON s.start_time < g.end_time AND s.end_time > g.start_time
            WHERE
                s.id = any(carved)
                AND g.removed_at IS NULL
                AND coalesce(g.doctor_id, s.doctor_id) = s.doctor_id
                AND coalesce(g.clinic_id, s.clinic_id) = s.clinic_id
        ) AS c
        CROSS JOIN LATERAL (
            SELECT b.id FROM bookings AS b
            WHERE b.slot_id = c.slot_id AND b.status = 'PENDING'
            ORDER BY b.expires_at
            LIMIT 2147483647
        ) AS b
    );
    cancelled_holds := cardinality(ended);
    ended := ended || cancelled_ids;
    IF cardinality(ended) > 0 THEN
        PERFORM 1
        FROM cancel_bookings(
                booking_ids => ended,
                reasons => array_fill(NULL::text, ARRAY[cancelled_holds]) || messages,
                actors => array_fill(actor, ARRAY[cardinality(ended)]),
                only_holds => NULL,
                request_ids => array_fill(request_id, ARRAY[cardinality(ended)])
            );
    END IF;
    -- A hold that ran out since the look above is none that `cancel_bookings` cancels. Its seats go now: otherwise its
    -- slot would keep more seats than its rule has.
    PERFORM 1 FROM expire_holds(changed_slot_ids, 'update');
    IF cardinality(carved) > 0 THEN
        PERFORM close_empty_slots(carved);
    END IF;

    WITH ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            s.id, s.last_event + 1, 'CLOSED', NULL, s.total_seats, s.available_seats, s.total_seats, actor,
            clock_timestamp()
        FROM appointment_slots AS s
        -- A slot that was carved for a hold may be closed since the preview: its hold is gone. Not `= 'OPEN'`, here and
        -- below: with a plan from when there were few slots, that would read all open ones, by their own index.
        WHERE s.id = any(closed_slot_ids) AND s.status <> 'CLOSED'
    )

    UPDATE appointment_slots AS s
    SET
        status = 'CLOSED',
        closure_id = CASE WHEN c.closure_id < first_new_id THEN c.closure_id ELSE new_closure_ids[(c.closure_id - first_new_id + 1)::integer] END,
        last_event = s.last_event + 1,
        updated_at = clock_timestamp()
    FROM unnest(closed_slot_ids, closed_by) AS c (slot_id, closure_id)
    WHERE s.id = c.slot_id AND s.status <> 'CLOSED';

    -- Never under what is taken: a hold of a slot that has just begun is not cancelled.
    WITH resized AS MATERIALIZED (
        SELECT
            s.id,
            s.last_event + 1 AS sequence,
            s.total_seats - s.available_seats AS taken,
            greatest(w.seats + s.added_seats, s.total_seats - s.available_seats) AS total_seats
        FROM unnest(changed_slot_ids, changed_seats) AS w (slot_id, seats)
        INNER JOIN appointment_slots AS s ON w.slot_id = s.id
        WHERE s.total_seats <> w.seats + s.added_seats
    ),

    ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            r.id, r.sequence, 'RESIZED', NULL, r.total_seats, r.total_seats - r.taken, r.total_seats, actor,
            clock_timestamp()
        FROM resized AS r
    )

    UPDATE appointment_slots AS s
    SET
        total_seats = r.total_seats,
        available_seats = r.total_seats - r.taken,
        last_event = r.sequence,
        updated_at = clock_timestamp()
    FROM resized AS r
    WHERE s.id = r.id;

    WITH ruled AS MATERIALIZED (
        SELECT
            s.id,
            r.visit_type_ids,
            busy_until_of(s.end_time, r.visit_type_ids) AS offered_until,
            busy_until_of_slot(s.id, s.end_time, r.visit_type_ids) AS busy_until
        FROM appointment_slots AS s
        INNER JOIN schedule_rules AS r ON s.rule_id = r.id
        WHERE s.id = any(changed_slot_ids)
    ),

    written AS (
        UPDATE appointment_slots AS s
        SET visit_type_ids = r.visit_type_ids, busy_until = r.busy_until, updated_at = clock_timestamp()
        FROM ruled AS r
        WHERE
            s.id = r.id
            AND (s.visit_type_ids, s.busy_until) IS DISTINCT FROM (r.visit_type_ids, r.busy_until)
    )

    SELECT coalesce(array_agg(r.id), '{}') INTO outlasting
    FROM ruled AS r
    WHERE r.busy_until IS DISTINCT FROM r.offered_until;

    WITH ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            s.id, s.last_event + 1, 'REOPENED', NULL, s.total_seats, s.available_seats, s.total_seats, actor,
            clock_timestamp()
        FROM appointment_slots AS s
        WHERE s.id = any(reopened_slot_ids)
    )

    -- One update for both: a row that a transaction writes twice costs its foreign keys to be checked again, and a second
    -- entry in each index.
    UPDATE appointment_slots AS s
    SET
        status = CASE WHEN w.reopened THEN 'OPEN' ELSE s.status END,
        last_event = s.last_event + w.reopened::integer,
        updated_at = CASE WHEN w.reopened THEN clock_timestamp() ELSE s.updated_at END,
        rule_version = w.rule_version,
        local_start = w.local_start,
        closure_id = w.closure_id
    FROM (
        SELECT
            t.slot_id,
            t.rule_version,
            t.local_start,
            CASE WHEN t.closure_id < first_new_id THEN t.closure_id ELSE new_closure_ids[(t.closure_id - first_new_id + 1)::integer] END AS closure_id,
            r.slot_id IS NOT NULL AS reopened
        FROM unnest(stamped_slot_ids, stamped_versions, stamped_local_starts, stamped_closures)
            AS t (slot_id, rule_version, local_start, closure_id)
        LEFT JOIN unnest(reopened_slot_ids) AS r (slot_id) ON t.slot_id = r.slot_id
    ) AS w
    WHERE s.id = w.slot_id;

    UPDATE appointment_slots AS s
    SET drifted = s.id = any(drifted_slot_ids)
    WHERE s.id = any(drifted_slot_ids || undrifted_slot_ids);

    WITH wanted AS MATERIALIZED (
        SELECT nextval('appointment_slots_id_seq') AS id, a.start_time, a.end_time, a.local_start, r.id AS rule_id, r.version,
            r.doctor_id, r.clinic_id, r.total_seats, r.visit_type_ids
        FROM unnest(added_rule_ids, added_starts, added_ends, added_local_starts)
            AS a (rule_id, start_time, end_time, local_start)
        INNER JOIN schedule_rules AS r
            ON r.id = CASE WHEN a.rule_id < first_new_id THEN a.rule_id ELSE new_rule_ids[(a.rule_id - first_new_id + 1)::integer] END
    ),

    ledger AS (
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT w.id, 1, 'CREATED', NULL, w.total_seats, w.total_seats, w.total_seats, actor, clock_timestamp()
        FROM wanted AS w
    ),

    written AS (
        INSERT INTO appointment_slots (
            id, doctor_id, clinic_id, start_time, end_time, total_seats, available_seats, visit_type_ids, rule_id,
            rule_version, local_start
        )
        SELECT
            w.id, w.doctor_id, w.clinic_id, w.start_time, w.end_time, w.total_seats, w.total_seats, w.visit_type_ids,
            w.rule_id, w.version, w.local_start
        FROM wanted AS w
    )

    SELECT coalesce(array_agg(w.id), '{}') || touched INTO slot_ids
    FROM wanted AS w;

    -- A visit that was held since the preview keeps its buffer, and a type with a longer one may be in slots that no rule
    -- has. Nothing of this is done, as if the constraint saw buffers, too.
    IF
        EXISTS (
            SELECT
            FROM appointment_slots AS s
            CROSS JOIN LATERAL find_overlapped(s.doctor_id, s.end_time, s.busy_until, s.id) AS o
            WHERE s.id = any(outlasting) AND s.status <> 'CLOSED'
        )
        OR (cardinality(type_ids) > 0 AND EXISTS (SELECT FROM lengthen_buffers(type_ids)))
    THEN
        RAISE exclusion_violation USING CONSTRAINT = 'slot_overlaps', MESSAGE = 'a buffer reaches into another slot';
    END IF;

    INSERT INTO rule_runs AS u (rule_id, rule_version, published_until, tzdata, skipped)
    SELECT r.id, r.version, w.published_until, w.tzdata, w.skipped
    FROM jsonb_populate_recordset(NULL::rule_runs, runs) AS w
    INNER JOIN schedule_rules AS r
        ON r.id = CASE WHEN w.rule_id < first_new_id THEN w.rule_id ELSE new_rule_ids[(w.rule_id - first_new_id + 1)::integer] END
    ON CONFLICT (rule_id) DO UPDATE
        SET
            rule_version = excluded.rule_version,
            published_until = excluded.published_until,
            tzdata = excluded.tzdata,
            skipped = excluded.skipped,
            updated_at = clock_timestamp();

    IF details IS NOT NULL THEN
        INSERT INTO audit_log (actor, action, subject, details, request_id)
        VALUES (actor, 'apply_schedule', subject, details::jsonb, request_id);
    END IF;
    outcome := 'applied';
    RETURN NEXT;
END
$$;
