-- The slots of a doctor that take place in a period, in part or as a whole, open and closed.
-- Those that began before it are found by their start, up to a day before, because no slot is longer. The planner
-- inlines this function.
CREATE OR REPLACE FUNCTION slots_in_period(doctor_id bigint, starts_from timestamptz, starts_before timestamptz)
RETURNS SETOF appointment_slots
LANGUAGE sql STABLE AS $$
    SELECT s.*
    FROM appointment_slots AS s
    WHERE
        s.doctor_id = slots_in_period.doctor_id
        AND s.start_time > slots_in_period.starts_from - interval '1 day'
        AND s.start_time < slots_in_period.starts_before
        AND s.end_time > slots_in_period.starts_from
$$;
