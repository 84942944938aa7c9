-- The slots ahead that offer one of these visit types, or have a live booking of it. Reads all slots, where no index
-- helps: 10^6 of them in less than a second.
CREATE OR REPLACE FUNCTION slots_with_types(type_ids bigint[]) RETURNS bigint[] LANGUAGE sql STABLE
SET enable_seqscan = on
AS $$
    SELECT coalesce(array_agg(s.id ORDER BY s.id), '{}')
    FROM appointment_slots AS s
    WHERE
        cardinality(slots_with_types.type_ids) > 0
        AND s.start_time > clock_timestamp()
        AND (
            s.visit_type_ids && slots_with_types.type_ids
            OR (s.available_seats < s.total_seats AND booked_types_of(s.id) && slots_with_types.type_ids)
        )
$$;
