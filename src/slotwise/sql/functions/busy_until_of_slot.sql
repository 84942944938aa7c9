-- Until when a slot takes the doctor's time if it ends then and has these visit types: the end and the largest buffer
-- of these types and of those of its live bookings. Null without a buffer. Whoever writes the end or the types of a
-- slot takes `busy_until` from here, so a booked visit keeps its buffer when its slot no longer offers its type.
-- Another type is given only under the doctor's lock, so bookings that come meanwhile make it no later.
CREATE OR REPLACE FUNCTION busy_until_of_slot(slot_id bigint, end_time timestamptz, visit_type_ids bigint[])
RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT busy_until_of(
        busy_until_of_slot.end_time,
        coalesce(busy_until_of_slot.visit_type_ids, '{}') || booked_types_of(busy_until_of_slot.slot_id)
    )
$$;
