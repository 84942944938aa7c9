-- migrate:up
SET LOCAL lock_timeout = '5s';

-- Where a doctor stands in a list by name: the server makes the key of the name (`domain/name_order.py`), because
-- PostgreSQL may have no rules for the clinic's language. Until the server has, the doctor stands after all others; see
-- functions/keep_sort_key.sql.
ALTER TABLE doctors ADD COLUMN name_sort_key bytea;
UPDATE doctors SET name_sort_key = '\xff' || convert_to(name, 'UTF8');

-- Already here, because the release before adds doctors before the functions and triggers are applied.
CREATE FUNCTION keep_sort_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.name_sort_key := '\xff' || convert_to(new.name, 'UTF8');
    RETURN new;
END
$$;
CREATE TRIGGER doctor_has_sort_key BEFORE INSERT ON doctors
FOR EACH ROW WHEN (new.name_sort_key IS NULL) EXECUTE FUNCTION keep_sort_key();
ALTER TABLE doctors ALTER COLUMN name_sort_key SET NOT NULL;

-- migrate:down
-- Forward only: to go back, restore a backup.
