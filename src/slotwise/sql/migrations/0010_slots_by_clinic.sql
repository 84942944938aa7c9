-- migrate:up transaction:false
-- The one statement of this file, because PostgreSQL builds an index beside bookings only outside a transaction. It
-- waits for older transactions, and nothing waits for it. If it is interrupted, an INVALID index stays, and the next
-- start leaves it. Then searches at one clinic are slow until `REINDEX INDEX CONCURRENTLY slots_on_offer_by_clinic`.
--
-- For the search at one of several clinics, which would otherwise pass the slots of all the others. Like its
-- neighbours it changes only when the last free seat is taken or comes back, so bookings stay heap-only.
CREATE INDEX CONCURRENTLY IF NOT EXISTS slots_on_offer_by_clinic
ON appointment_slots (clinic_id, start_time, id)
WHERE status = 'OPEN' AND has_free_seat;

-- migrate:down
-- Forward only: to go back, restore a backup.
