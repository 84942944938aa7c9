-- The bookings of an account. Those that the desk makes for others are the others': they are the account's only where
-- they bear its own address.
CREATE OR REPLACE FUNCTION bookings_of_account(user_id bigint) RETURNS TABLE (id bigint) LANGUAGE sql STABLE AS $$
    SELECT b.id
    FROM users AS u
    INNER JOIN bookings AS b ON u.id = b.user_id
    WHERE
        u.id = bookings_of_account.user_id
        AND (NOT u.was_desk OR lower(b.user_email) = lower(u.email))
$$;
