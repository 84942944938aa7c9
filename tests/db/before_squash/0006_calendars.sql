-- migrate:up

-- What happened to a slot itself since a moment, for the calendar files and the stories of its bookings. A booking
-- writes no such row, so it costs the booking path nothing.
CREATE INDEX changes_of_slot ON booking_events (slot_id, created_at, sequence)
WHERE booking_id IS NULL AND kind <> 'CREATED';

-- migrate:down
-- Forward only: to go back, restore a backup.
