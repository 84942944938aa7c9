-- Erases a person: cancels upcoming bookings, and replaces name and e-mail address in all given bookings and in the
-- account. Either may be missing: a guest has no account, and an account may have no bookings.
-- `booking_ids` were listed before, without a lock, because finding an e-mail address reads all bookings. If the
-- account has more bookings by now, from a batch that was in flight, nothing is done and the outcome is 'again'.
-- Locks in the order of a batch of bookings: the slots of live bookings in id order, then the account. One erasure runs
-- at a time: two would wait for each other's bookings, and of two last admins each would still see the other.
-- It waits only 300 ms for the account, because bookings of the slots wait behind it:
--   log-out: locks the account     erasure: locks the slots, waits for the account     booking: waits for a slot
-- A log-out is several messages, and its worker may stand still between two of them. A batch of bookings, which may
-- also hold the account's lock, is one message.
CREATE OR REPLACE FUNCTION erase_personal_data(
    user_id bigint,
    booking_ids bigint[],
    -- The hash that the person's password was checked against; null for an operator.
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

    DELETE FROM patient_visits AS v WHERE v.booking_id = any(booking_ids);

    -- The reasons may be free text. Holds that never had a name get none.
    UPDATE bookings AS b
    SET
        user_name = CASE WHEN b.user_name IS NOT NULL THEN 'Erased' END,
        user_email = CASE WHEN b.user_email IS NOT NULL THEN 'erased@erased.invalid' END,
        cancel_reason = NULL,
        overbooking_reason = NULL,
        updated_at = clock_timestamp()
    WHERE b.id = any(booking_ids);

    live := ARRAY(
        SELECT b.id FROM bookings AS b WHERE b.id = any(booking_ids) AND b.status IN ('PENDING', 'CONFIRMED')
    );
    SELECT count(*) INTO cancelled
    FROM cancel_bookings(
            live,
            array_fill('erased'::text, ARRAY[cardinality(live)]),
            array_fill(actor, ARRAY[cardinality(live)]),
            NULL,
            NULL
        ) AS c
    WHERE c.outcome = 'cancelled';

    -- No one can own a domain under .invalid (RFC 2606), and no password has this hash.
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
        -- After a restore, any of these bookings, or the account, leads to the e-mail address again. Only a hundred, so
        -- that the row stays small: the oldest, which are the likeliest to be in a backup.
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
