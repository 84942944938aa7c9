-- Changes a slot's period, seats and status, and writes its ledger rows and the note of who did it. One call, so that
-- the slot's lock is never held while a message travels. With several messages:
--   desk: locks the slot, its worker stands still     booking: waits for the slot, for up to ten seconds
-- The change was computed from the slot as it was read without a lock. If the slot is different now, nothing is done
-- and the outcome is 'again'.
-- Locks clinic, doctor and windows first, as adding a slot does: times and status change only under the doctor's lock.
-- So overlaps are found before the slot is locked, and bookings wait less. Empty slots in the way that were carved out
-- of windows are closed.
CREATE OR REPLACE FUNCTION update_slot(
    slot_id bigint,
    -- The slot as it was read.
    old_start_time timestamptz,
    old_end_time timestamptz,
    old_total_seats integer,
    old_status text,
    -- The slot as it shall become.
    start_time timestamptz,
    end_time timestamptz,
    total_seats integer,
    status text,
    -- The kinds of the ledger rows to write.
    kinds text[],
    -- Id of the newest booking that the desk knew of, 0 for none; null if that does not matter.
    newest_booking bigint,
    -- True: only find the outcome; lock nothing and change nothing.
    dry_run boolean,
    actor text,
    details text,
    request_id text
) RETURNS TABLE (
    -- 'updated', or the reason why nothing was changed: 'again', 'past', 'too_short', 'booked', 'seats_taken',
    -- 'overlaps'.
    outcome text,
    taken integer,
    overlapped_start timestamptz,
    overlapped_end timestamptz,
    overlapped_closed boolean,
    expired_holds integer,
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
    comes_to_new_time boolean;
    carved bigint[];
BEGIN
    IF NOT dry_run THEN
        -- As for a slot that is added: an admin who closes the clinic sees no open times, while this opens one. The
        -- caller has asked whether the clinic is active, and asks again.
        IF status = 'OPEN' AND old_status <> 'OPEN' THEN
            PERFORM 1
            FROM clinics AS c
            WHERE c.id = (SELECT s.clinic_id FROM appointment_slots AS s WHERE s.id = slot_id) AND c.active
            FOR SHARE;
            IF NOT found THEN
                outcome := 'again';
                expired_holds := 0;
                RETURN NEXT;
                RETURN;
            END IF;
        END IF;
        PERFORM 1 FROM doctors AS d WHERE d.id = owner FOR NO KEY UPDATE;
    END IF;

    -- Visit types of a slot change only under the doctor's lock.
    busy_until := (
        SELECT busy_until_of_slot(s.id, end_time, s.visit_type_ids) FROM appointment_slots AS s WHERE s.id = slot_id
    );
    IF NOT dry_run THEN
        PERFORM lock_windows(ARRAY[owner], start_time, coalesce(busy_until, end_time));
        carved := ARRAY(
            SELECT c.id FROM slots_of_windows(ARRAY[owner], start_time, coalesce(busy_until, end_time)) AS c
            WHERE c.id <> slot_id
        );
    END IF;
    SELECT o.start_time, o.end_time, o.closed INTO overlapped_start, overlapped_end, overlapped_closed
    FROM find_overlapped(owner, start_time, coalesce(busy_until, end_time), slot_id) AS o;

    expired_holds := 0;
    IF NOT dry_run THEN
        PERFORM 1 FROM appointment_slots AS s WHERE s.id = any(slot_id || carved) ORDER BY s.id FOR NO KEY UPDATE;
        -- They fail whether or not the change is made.
        SELECT coalesce(sum(e.holds), 0) INTO expired_holds FROM expire_holds(ARRAY[slot_id], 'update') AS e;
    END IF;

    SELECT s.* INTO slot FROM appointment_slots AS s WHERE s.id = slot_id;
    SELECT s.total_seats - s.available_seats INTO taken FROM slots_now AS s WHERE s.id = slot_id;
    comes_to_new_time := (status = 'OPEN' OR taken > 0) AND (
        (start_time, end_time) <> (slot.start_time, slot.end_time) OR (slot.status <> 'OPEN' AND taken = 0)
    );

    outcome := CASE
        -- A colleague who takes over while this waits for the doctor has another lock.
        WHEN
            (slot.doctor_id, slot.start_time, slot.end_time, slot.total_seats, slot.status)
            <> (owner, old_start_time, old_end_time, old_total_seats, old_status)
            THEN 'again'
        WHEN start_time <> slot.start_time AND start_time <= clock_timestamp() THEN 'past'
        -- Only for a slot that becomes shorter: a type may have become longer than its slots.
        WHEN
            end_time - start_time < slot.end_time - slot.start_time
            AND outlast(slot.visit_type_ids, end_time - start_time)
            THEN 'too_short'
        -- Read under the lock, which every booking needs, so no booking comes after it. Compares a row, although it is
        -- about one slot: with `=` on the slot, the planner might walk all bookings by id.
        WHEN
            newest_booking <> coalesce(
                (
                    SELECT b.id
                    FROM bookings AS b
                    WHERE b.slot_id >= slot.id AND (b.slot_id, b.id) <= (slot.id, 9223372036854775807)
                    ORDER BY b.slot_id DESC, b.id DESC
                    LIMIT 1
                ),
                0
            )
            THEN 'booked'
        -- Without the added seats, at least one must be left: these go away with their bookings.
        WHEN total_seats < greatest(taken, slot.added_seats + 1) THEN 'seats_taken'
        WHEN comes_to_new_time AND overlapped_start IS NOT NULL THEN 'overlaps'
        ELSE 'updated'
    END;

    IF outcome = 'seats_taken' THEN
        taken := greatest(taken, slot.added_seats + 1);
    END IF;

    IF outcome = 'updated' AND NOT dry_run THEN
        IF comes_to_new_time THEN
            PERFORM close_empty_slots(carved);
        END IF;
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT
            slot.id,
            slot.last_event + e.position,
            e.kind,
            NULL,
            total_seats,
            total_seats - taken,
            total_seats,
            actor,
            clock_timestamp()
        FROM unnest(kinds) WITH ORDINALITY AS e (kind, position);

        UPDATE appointment_slots AS s
        SET
            start_time = update_slot.start_time,
            end_time = update_slot.end_time,
            -- Looked at above, if the slot comes to a new time. Otherwise it keeps its own, which may be longer than
            -- the buffers of today: only what is looked at may take more of the doctor's time.
            busy_until = CASE
                WHEN comes_to_new_time OR slot.end_time <> update_slot.end_time THEN busy_until
                ELSE s.busy_until
            END,
            total_seats = update_slot.total_seats,
            available_seats = update_slot.total_seats - taken,
            status = update_slot.status,
            -- Its rule or its window leaves alone what a person has changed. A closure that is undone reopens what it closed, unless
            -- a person has reopened or moved it since.
            pinned = s.pinned OR (num_nonnulls(s.rule_id, s.window_id) > 0 AND cardinality(kinds) > 0),
            drifted = s.drifted AND cardinality(kinds) = 0,
            closure_id = CASE WHEN kinds && ARRAY['REOPENED', 'CLOSED', 'MOVED'] THEN NULL ELSE s.closure_id END,
            last_event = slot.last_event + cardinality(kinds),
            updated_at = clock_timestamp()
        WHERE s.id = slot_id
        RETURNING s.updated_at INTO update_slot.updated_at;

        INSERT INTO audit_log (actor, action, subject, details, request_id)
        VALUES (actor, 'update_slot', 'slot:' || slot_id, details::jsonb, request_id);
    END IF;
    RETURN NEXT;
END
$$;
