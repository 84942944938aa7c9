-- migrate:up
SET LOCAL lock_timeout = '5s';

-- Where a doctor stands in a list by name: the server makes the key of the name (`domain/name_order.py`), because
-- PostgreSQL may have no rules for the clinic's language. Until the server has, the doctor stands after all others; see
-- functions/keep_sort_key.sql.
ALTER TABLE doctors ADD COLUMN name_sort_key bytea;
UPDATE doctors SET name_sort_key = '\xff' || convert_to(name, 'UTF8');
ALTER TABLE doctors ALTER COLUMN name_sort_key SET NOT NULL;

-- migrate:down
-- Forward only: to go back, restore a backup.
