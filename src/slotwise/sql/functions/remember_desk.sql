CREATE OR REPLACE FUNCTION remember_desk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.was_desk := new.was_desk OR new.role IN ('admin', 'staff');
    RETURN new;
END
$$;
