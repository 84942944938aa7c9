-- Refuses bookings of an account that was erased or deactivated, even if it was active when the request arrived.
-- The request has read the account's token, name and e-mail address before. Without the lock:
--   booking: finds the account active         erasure: does not see this booking, erases the others, commits
--   booking: writes the name, commits
-- KEY SHARE waits only for an erasure, which takes the full lock. It does not wait for a log-in, nor for a worker that
-- stands still during one.
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
