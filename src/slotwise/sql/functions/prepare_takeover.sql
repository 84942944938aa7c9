-- Takes the locks of an absence whose slots go to a colleague, and looks again at what the preview saw of that doctor.
-- Returns the doctors if it is still so, and no row if not: then nothing may be done.
--   this call: saw a free time of the colleague      patient: holds it
--   this call: would close that time, or the colleague would be in two visits at once
-- The locks are those of `apply_schedule_2`, which runs next in the same statement, and in the same order: clinics,
-- both doctors, then all slots, each in id order. Under them, nothing of this changes until the commit.
CREATE OR REPLACE FUNCTION prepare_takeover(
    doctor_ids bigint[],
    -- All slots that will be written.
    slot_ids bigint[],
    -- Null for a change in which no slot goes to a colleague: then nothing is locked or looked at.
    colleague_id bigint,
    -- The slots that go to the colleague, and the colleague's own that close to make room.
    taken_slot_ids bigint[],
    room_slot_ids bigint[]
) RETURNS TABLE (locked_doctor_ids bigint[]) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
#variable_conflict use_variable
DECLARE
    first_start constant timestamptz := (
        SELECT min(s.start_time) FROM appointment_slots AS s WHERE s.id = any(slot_ids)
    );
    carved bigint[];
BEGIN
    locked_doctor_ids := doctor_ids;
    IF colleague_id IS NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;

    PERFORM 1 FROM clinics AS c ORDER BY c.id FOR SHARE;
    PERFORM 1 FROM doctors AS d WHERE d.id = any(doctor_ids) ORDER BY d.id FOR NO KEY UPDATE;
    PERFORM lock_windows(doctor_ids, first_start, 'infinity');
    carved := ARRAY(SELECT c.id FROM slots_of_windows(doctor_ids, first_start, 'infinity') AS c);
    PERFORM 1 FROM appointment_slots AS s WHERE s.id = any(slot_ids || carved) ORDER BY s.id FOR NO KEY UPDATE;

    IF
        NOT EXISTS (SELECT FROM doctors AS d WHERE d.id = colleague_id AND d.active)
        -- Somebody else gave it to a doctor, or the colleague no longer works there.
        OR EXISTS (
            SELECT FROM appointment_slots AS s
            WHERE
                s.id = any(taken_slot_ids)
                AND (
                    s.doctor_id = colleague_id
                    OR s.doctor_id <> all(doctor_ids)
                    OR s.start_time <= clock_timestamp()
                    OR (
                        EXISTS (SELECT FROM doctor_clinics AS w WHERE w.doctor_id = colleague_id)
                        AND NOT EXISTS (
                            SELECT FROM doctor_clinics AS w
                            WHERE w.doctor_id = colleague_id AND w.clinic_id = s.clinic_id
                        )
                    )
                )
        )
        OR EXISTS (
            SELECT FROM find_in_the_way(taken_slot_ids, colleague_id) AS o
            WHERE o.taken OR o.other_id <> all(room_slot_ids)
        )
    THEN
        RETURN;
    END IF;
    RETURN NEXT;
END
$$;
