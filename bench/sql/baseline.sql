-- The tables of a plain booking service: slots and bookings with the usual keys.
CREATE SCHEMA bench;

CREATE TABLE bench.slot (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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
