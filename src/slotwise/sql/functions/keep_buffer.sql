-- Gives a new slot with visit types the end of its buffer, whoever publishes it.
CREATE OR REPLACE FUNCTION keep_buffer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.busy_until := busy_until_of(new.end_time, new.visit_type_ids);
    RETURN new;
END
$$;
