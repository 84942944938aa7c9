-- migrate:up transaction:false
-- The one statement of this file, because PostgreSQL builds an index beside bookings only outside a transaction. It
-- waits for older transactions, and nothing waits for it. If it is interrupted, an INVALID index stays, and the next
-- start leaves it. Then searches for a rare type are slow until `REINDEX INDEX CONCURRENTLY slots_on_offer_by_types`.
--
-- For the search for a rare visit type, of which each doctor who offers it is found by one look. Slots without types,
-- without a free seat or closed are not in it, so a hold writes nothing here.
CREATE INDEX CONCURRENTLY IF NOT EXISTS slots_on_offer_by_types
ON appointment_slots (visit_type_ids, clinic_id, doctor_id, start_time, id)
WHERE status = 'OPEN' AND has_free_seat AND visit_type_ids IS NOT NULL;

-- migrate:down
-- Forward only: to go back, restore a backup.
