-- What takes a doctor's time near a period, buffers included, as `hold_times` will see it: published slots that are
-- open, full or not, and all others that have a live booking. By start. An overdue hold takes no time.
CREATE OR REPLACE FUNCTION busy_times(doctor_id bigint, starts_from timestamptz, busy_until timestamptz)
RETURNS TABLE (start_time timestamptz, busy_until timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT s.start_time, coalesce(s.busy_until, s.end_time)
    FROM appointment_slots AS s
    WHERE
        s.doctor_id = busy_times.doctor_id
        AND s.start_time > busy_times.starts_from - interval '28 hours'
        AND s.start_time < busy_times.busy_until
        AND coalesce(s.busy_until, s.end_time) > busy_times.starts_from
        AND (
            (s.status = 'OPEN' AND s.window_id IS NULL)
            OR (
                s.available_seats < s.total_seats
                AND s.available_seats + (
                    SELECT coalesce(sum(b.seats_booked), 0)
                    FROM (
                        SELECT b.seats_booked
                        FROM bookings AS b
                        WHERE b.slot_id = s.id AND b.status = 'PENDING' AND b.expires_at <= now()
                        ORDER BY b.expires_at
                        LIMIT 2147483647
                    ) AS b
                ) < s.total_seats
            )
        )
    ORDER BY s.start_time
$$;
