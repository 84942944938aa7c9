-- migrate:up

-- What was noted about somebody, for whoever asks what is kept about them.
CREATE INDEX audit_log_of_subject ON audit_log (subject, id);

-- Whether an account was at the desk at any time, and so may have made bookings for others. Its role of today does not
-- tell: a receptionist who becomes a patient again must not be given the names of those who telephoned.
ALTER TABLE users ADD COLUMN was_desk boolean NOT NULL DEFAULT FALSE;
UPDATE users AS u
SET was_desk = TRUE
WHERE
    u.role IN ('admin', 'staff')
    OR EXISTS (
        SELECT 1 FROM audit_log AS a
        WHERE a.subject = 'user:' || u.id AND a.details ->> 'role' IN ('admin', 'staff')
    );

CREATE FUNCTION remember_desk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.was_desk := new.was_desk OR new.role IN ('admin', 'staff');
    RETURN new;
END
$$;
CREATE TRIGGER user_was_desk BEFORE INSERT OR UPDATE ON users
FOR EACH ROW EXECUTE FUNCTION remember_desk();

-- The bookings of an account. Those that the desk makes for others are the others': they are the account's only where
-- they bear its own address.
CREATE FUNCTION bookings_of_account(user_id bigint) RETURNS TABLE (id bigint) LANGUAGE sql STABLE AS $$
    SELECT b.id
    FROM users AS u
    INNER JOIN bookings AS b ON u.id = b.user_id
    WHERE
        u.id = bookings_of_account.user_id
        AND (NOT u.was_desk OR lower(b.user_email) = lower(u.email))
$$;

-- An account that was erased or shut out books nothing, whatever it was when its request came in.
-- A booking reads the account's token, name and address first and comes here later. Were this not a lock:
--   booking: finds the account active         erasure: finds no such booking, erases the others, commits
--   booking: writes the name, commits
-- KEY SHARE waits for nobody but an erasure, which takes the full lock: not for a log-in, nor for a worker that stands
-- still in the middle of one.
CREATE FUNCTION require_active_account() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER booking_user_active BEFORE INSERT ON bookings
FOR EACH ROW WHEN (new.user_id IS NOT NULL) EXECUTE FUNCTION require_active_account();

-- Cancels what is to come of a person's bookings, and puts nobody in the place of name and address, in these bookings
-- and in the account. Both may be missing: a guest has no account, an account may have no bookings.
-- `booking_ids` were listed before: looking an address up reads all bookings, for which no lock is held. The account's
-- may have become more since, by a batch that was in flight; then this does nothing and says 'again'.
-- Locks in the order of a batch of bookings: the slots of live bookings, by id, then the account. One erasure at a
-- time: two would wait for each other's bookings, and two last admins would each see the other.
-- The account is waited for so briefly because of the slots' other customers:
--   log-out: locks the account     erasure: locks the slots, waits for the account     booking: waits for a slot
-- A log-out is several messages of a worker, which may stand still between two. A batch of bookings, which is waited
-- for too, is one.
CREATE FUNCTION erase_personal_data(
    user_id bigint,
    booking_ids bigint[],
    -- What the person's password was checked against; null for an operator.
    old_password_hash text,
    attempts_hash bytea,
    actor text,
    request_id text
) RETURNS TABLE (outcome text, cancelled integer) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    account users;
    live bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('erase_personal_data', 0));

    PERFORM 1
    FROM appointment_slots AS s
    WHERE s.id IN (
        SELECT b.slot_id FROM bookings AS b
        WHERE b.id = any(booking_ids) AND b.status IN ('PENDING', 'CONFIRMED')
    )
    ORDER BY s.id
    FOR NO KEY UPDATE;

    PERFORM set_config('lock_timeout', '300ms', TRUE);
    SELECT u.* INTO account FROM users AS u WHERE u.id = erase_personal_data.user_id FOR UPDATE;

    cancelled := 0;
    outcome := CASE
        WHEN account.password_hash <> old_password_hash THEN 'password_changed'
        WHEN
            account.role = 'admin'
            AND account.active
            AND NOT EXISTS (SELECT 1 FROM users AS u WHERE u.role = 'admin' AND u.active AND u.id <> account.id)
            THEN 'last_admin'
        WHEN EXISTS (SELECT b.id FROM bookings_of_account(account.id) AS b EXCEPT SELECT unnest(booking_ids))
            THEN 'again'
        ELSE 'erased'
    END;
    IF outcome <> 'erased' THEN
        RETURN NEXT;
        RETURN;
    END IF;

    -- The reason of an earlier cancellation may be free text. Holds that never had a name get none.
    UPDATE bookings AS b
    SET
        user_name = CASE WHEN b.user_name IS NOT NULL THEN 'Erased' END,
        user_email = CASE WHEN b.user_email IS NOT NULL THEN 'erased@erased.invalid' END,
        cancel_reason = NULL,
        updated_at = clock_timestamp()
    WHERE b.id = any(booking_ids);

    live := ARRAY(
        SELECT b.id FROM bookings AS b WHERE b.id = any(booking_ids) AND b.status IN ('PENDING', 'CONFIRMED')
    );
    SELECT count(*) INTO cancelled
    FROM cancel_bookings(
            live, array_fill('erased'::text, ARRAY[cardinality(live)]), array_fill(actor, ARRAY[cardinality(live)])
        ) AS c
    WHERE c.outcome = 'cancelled';

    -- Nobody can register an address under .invalid (RFC 2606), and no password has this hash.
    UPDATE users AS u
    SET
        name = 'Erased',
        email = 'erased-' || u.id || '@erased.invalid',
        password_hash = '!',
        active = FALSE,
        token_version = u.token_version + 1,
        updated_at = clock_timestamp()
    WHERE u.id = account.id;
    DELETE FROM login_attempts AS a WHERE a.account_hash = attempts_hash;

    INSERT INTO audit_log (actor, action, subject, details, request_id)
    VALUES (
        actor,
        'erase_personal_data',
        coalesce('user:' || account.id, 'guest'),
        -- After a restore the address is found again by any of them, or by the account. A hundred, lest the row grow
        -- without bound: the oldest, which are in a backup if any is.
        jsonb_build_object(
            'bookings', cardinality(booking_ids),
            'cancelled', cancelled,
            'booking_ids', ARRAY(SELECT b.id FROM unnest(booking_ids) AS b (id) ORDER BY b.id LIMIT 100)
        ),
        request_id
    );
    RETURN NEXT;
END
$$;

-- The planner's samples of names would be readable after an erasure, until the next ANALYZE. No statement is planned by
-- them: an address is unique, and a text that is searched for is looked for in every row of a walk.
-- A column that is no longer sampled keeps its last samples. Setting the type anew forgets them and rewrites nothing,
-- but not while a view has the column.
ALTER TABLE users
ALTER COLUMN email TYPE text,
ALTER COLUMN name TYPE text,
ALTER COLUMN password_hash TYPE text;
ALTER TABLE users
ALTER COLUMN email SET STATISTICS 0,
ALTER COLUMN name SET STATISTICS 0,
ALTER COLUMN password_hash SET STATISTICS 0;
ALTER INDEX user_email_unique ALTER COLUMN 1 SET STATISTICS 0;

DO $$
DECLARE
    definition text := pg_get_viewdef('bookings_now'::regclass);
BEGIN
    DROP VIEW bookings_now;
    ALTER TABLE bookings
    ALTER COLUMN user_name TYPE text,
    ALTER COLUMN user_email TYPE text,
    ALTER COLUMN cancel_reason TYPE text;
    EXECUTE 'CREATE VIEW bookings_now AS ' || definition;
END
$$;
ALTER TABLE bookings
ALTER COLUMN user_name SET STATISTICS 0,
ALTER COLUMN user_email SET STATISTICS 0,
ALTER COLUMN cancel_reason SET STATISTICS 0;

-- migrate:down
-- Forward only: to go back, restore a backup.
