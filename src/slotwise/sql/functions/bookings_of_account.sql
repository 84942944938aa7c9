-- The bookings of an account. If the account was ever at the desk, only those with the account's own e-mail address:
-- the desk makes bookings for other people, and these belong to them.
CREATE OR REPLACE FUNCTION bookings_of_account(user_id bigint) RETURNS TABLE (id bigint) LANGUAGE sql STABLE AS $$
    SELECT b.id
    FROM users AS u
    INNER JOIN bookings AS b ON u.id = b.user_id
    WHERE
        u.id = bookings_of_account.user_id
        AND (NOT u.was_desk OR email_key(b.user_email) = email_key(u.email))
$$;
