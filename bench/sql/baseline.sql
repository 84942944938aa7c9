-- The tables of a plain booking service: slots and bookings with the usual keys.
CREATE SCHEMA bench;

CREATE TABLE bench.slot (
    id bigint PRIMARY KEY,
    doctor_id bigint NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    total_seats integer NOT NULL,
    available_seats integer NOT NULL CHECK (available_seats >= 0),
    status text NOT NULL DEFAULT 'OPEN',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE bench.booking (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot_id bigint NOT NULL REFERENCES bench.slot (id),
    user_name text NOT NULL,
    user_email text NOT NULL,
    seats_booked integer NOT NULL,
    status text NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX booking_slot ON bench.booking (slot_id);

INSERT INTO bench.slot (id, doctor_id, start_time, end_time, total_seats, available_seats)
SELECT n.n, 1, now() + interval '1 day', now() + interval '1 day 30 minutes', 1000000000, 1000000000
FROM generate_series(1, 1000) AS n (n);
