-- migrate:up

-- How often a slot was moved, for the calendar files of its bookings. A booking writes no such row, so it costs the
-- booking path nothing.
CREATE INDEX moves_of_slot ON booking_events (slot_id, sequence) WHERE kind = 'MOVED';

-- migrate:down
-- Forward only: to go back, restore a backup.
