-- Applied after migrations, views and functions whenever this text changed.

-- The ledger and the audit log are append-only.
CREATE OR REPLACE TRIGGER booking_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON booking_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE OR REPLACE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE OR REPLACE TRIGGER user_was_desk BEFORE INSERT OR UPDATE ON users
FOR EACH ROW EXECUTE FUNCTION remember_desk();

CREATE OR REPLACE TRIGGER booking_user_active BEFORE INSERT ON bookings
FOR EACH ROW WHEN (new.user_id IS NOT NULL) EXECUTE FUNCTION require_active_account();

-- Two triggers, because what is inserted has no older row to be compared with.
CREATE OR REPLACE TRIGGER doctor_has_sort_key BEFORE INSERT ON doctors
FOR EACH ROW WHEN (new.name_sort_key IS NULL) EXECUTE FUNCTION keep_sort_key();

CREATE OR REPLACE TRIGGER doctor_sort_key_follows_name BEFORE UPDATE OF name ON doctors
FOR EACH ROW WHEN (new.name <> old.name) EXECUTE FUNCTION keep_sort_key();

-- Only for new slots: a trigger on updates would lock the slot's row once more with every booking. What is carved out
-- of a window brings its buffer along.
CREATE OR REPLACE TRIGGER slot_has_buffer BEFORE INSERT ON appointment_slots
FOR EACH ROW WHEN (new.visit_type_ids IS NOT NULL AND new.window_id IS NULL) EXECUTE FUNCTION keep_buffer();
