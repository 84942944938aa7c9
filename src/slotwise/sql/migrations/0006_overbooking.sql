-- migrate:up
SET LOCAL lock_timeout = '5s';

-- What the desk adds to a full slot for one more booking. It goes away with the booking, so it is never on offer.
-- NOT VALID: no older row has a value that could break the rules, so none is read while the tables are locked.
ALTER TABLE bookings
-- How many seats were added to the slot for this booking. Null if none were.
ADD COLUMN added_seats integer,
-- May name somebody, so it is erased with the person.
ADD COLUMN overbooking_reason text,
ADD CONSTRAINT booking_added_seats_in_range CHECK (added_seats BETWEEN 1 AND seats_booked) NOT VALID;
-- No samples of personal data.
ALTER TABLE bookings ALTER COLUMN overbooking_reason SET STATISTICS 0;

-- The added seats of the slot's confirmed bookings together. `total_seats` counts them too: without them, it is what
-- the clinic offers.
ALTER TABLE appointment_slots
ADD COLUMN added_seats integer NOT NULL DEFAULT 0,
ADD CONSTRAINT slot_added_seats_in_range CHECK (
    added_seats BETWEEN 0 AND greatest(total_seats - 1, 0)
) NOT VALID;

-- migrate:down
-- Forward only: to go back, restore a backup.
