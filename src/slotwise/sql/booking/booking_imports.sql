-- name: find_slots
-- Finds the slot of each doctor that starts at the time beside it. If a closed one was replaced, it finds the open one.
SELECT s.id, w.doctor_id, w.start_time
FROM (
    SELECT DISTINCT w.doctor_id, w.start_time
    FROM unnest(:doctor_ids::bigint[], :start_times::timestamptz[]) AS w (doctor_id, start_time)
) AS w
CROSS JOIN
    LATERAL (
        SELECT s.id
        FROM appointment_slots AS s
        WHERE s.doctor_id = w.doctor_id AND s.start_time = w.start_time
        ORDER BY s.status DESC, s.id ASC
        LIMIT 1
    ) AS s;

-- name: list_known_bookings
-- Lists who has or had a confirmed booking of some slots.
SELECT b.slot_id, b.user_name, b.user_email
FROM bookings AS b
WHERE b.slot_id = any(:slot_ids::bigint[]) AND b.confirmed_at IS NOT NULL;

-- name: book
-- Books seats for patients of a file, in one transaction with the rest of the file.
SELECT h.place, h.outcome, h.available_seats
FROM hold_seats_3(
        slot_ids => :slot_ids::bigint[],
        seats => :seats::integer[],
        user_ids => array_fill(NULL::bigint, ARRAY[cardinality(:slot_ids::bigint[])]),
        user_names => :user_names::text[],
        user_emails => :user_emails::text[],
        confirmed => array_fill(TRUE, ARRAY[cardinality(:slot_ids::bigint[])]),
        manage_token_hashes => :manage_token_hashes::bytea[],
        actors => array_fill(:actor::text, ARRAY[cardinality(:slot_ids::bigint[])]),
        callers => '{}',
        routes => '{}',
        key_hashes => '{}',
        body_hashes => '{}',
        manage_nonces => '{}',
        request_ids => array_fill(NULL::text, ARRAY[cardinality(:slot_ids::bigint[])]),
        hold_seconds => 0,
        keep_seconds => :keep_seconds::integer,
        visit_type_ids => NULL,
        by_desk => TRUE,
        refusals => NULL
    ) AS h;
