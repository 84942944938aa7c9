-- A doctor whose name was written without a key, as by the release before, stands after all others, by code points. The
-- next start of a server of this release makes the key. Keys begin with a lower byte.
CREATE OR REPLACE FUNCTION keep_sort_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.name_sort_key IS NULL OR tg_op = 'UPDATE' AND new.name_sort_key = old.name_sort_key THEN
        new.name_sort_key := '\xff' || convert_to(new.name, 'UTF8');
    END IF;
    RETURN new;
END
$$;
