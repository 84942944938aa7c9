-- The visit types of a slot's live bookings. They may be others than the slot's own: a booking keeps the type that it
-- was made for. Nothing is read in a clinic without visit types.
CREATE OR REPLACE FUNCTION booked_types_of(slot_id bigint) RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(DISTINCT b.visit_type_id), '{}')
    FROM (
        SELECT b.visit_type_id
        FROM bookings AS b
        WHERE
            -- Compares a row, although it is about one slot: with `=`, the planner might walk all bookings by id.
            b.slot_id <= booked_types_of.slot_id
            AND (b.slot_id, b.id) > (booked_types_of.slot_id, 0)
            AND b.status IN ('PENDING', 'CONFIRMED')
            AND b.visit_type_id IS NOT NULL
            AND EXISTS (SELECT FROM visit_types)
        ORDER BY b.slot_id, b.id
        LIMIT 2147483647
    ) AS b
$$;
