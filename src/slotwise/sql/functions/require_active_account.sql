-- An account that was erased or shut out books nothing, whatever it was when its request came in.
-- A booking reads the account's token, name and address first and comes here later. Were this not a lock:
--   booking: finds the account active         erasure: finds no such booking, erases the others, commits
--   booking: writes the name, commits
-- KEY SHARE waits for nobody but an erasure, which takes the full lock: not for a log-in, nor for a worker that stands
-- still in the middle of one.
CREATE OR REPLACE FUNCTION require_active_account() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    account_active boolean;
BEGIN
    SELECT u.active INTO account_active FROM users AS u WHERE u.id = new.user_id FOR KEY SHARE;
    IF NOT account_active THEN
        RAISE check_violation USING MESSAGE = 'the account is not active', CONSTRAINT = 'booking_user_active';
    END IF;
    RETURN new;
END
$$;
