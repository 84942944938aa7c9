-- Makes room in the open time of doctors for slots that are added in a period: nothing is carved there until the end of
-- the transaction, and the empty slots that were carved before are closed. The caller holds the locks of the doctors,
-- and of no slot.
CREATE OR REPLACE FUNCTION make_room(doctor_ids bigint[], starts_from timestamptz, ends_before timestamptz)
RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
AS $$
DECLARE
    carved bigint[];
BEGIN
    PERFORM lock_windows(doctor_ids, starts_from, ends_before);
    carved := ARRAY(SELECT c.id FROM slots_of_windows(doctor_ids, starts_from, ends_before) AS c);
    PERFORM 1 FROM appointment_slots AS s WHERE s.id = any(carved) ORDER BY s.id FOR NO KEY UPDATE;
    PERFORM close_empty_slots(carved);
END
$$;
