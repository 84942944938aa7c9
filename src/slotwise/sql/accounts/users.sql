-- name: create_user
-- Adds an account; no row if the e-mail address is taken.
-- A taken e-mail address raises no database error, because the database's log would then contain it.
INSERT INTO users AS u (email, name, role, password_hash)
VALUES (:email::text, :name::text, :role::text, :password_hash::text)
ON CONFLICT DO NOTHING
RETURNING u.user_columns;

-- name: get_user
-- Reads an account.
SELECT u.user_columns
FROM users AS u
WHERE u.id = :user_id::bigint;

-- name: get_users
-- Reads those of some accounts that there are.
SELECT u.user_columns
FROM users AS u
WHERE u.id = any(:user_ids::bigint[]);

-- name: get_credentials
-- Reads what a log-in is checked against.
SELECT u.id, u.password_hash, u.active, u.token_version
FROM users AS u
WHERE email_key(u.email) = email_key(:email::text);

-- name: get_password_hash
-- Reads the password hash of an account.
SELECT u.password_hash
FROM users AS u
WHERE u.id = :user_id::bigint;

-- name: change_password
-- Sets a password and revokes all earlier tokens, unless the password was changed since the old one was checked.
UPDATE users
SET password_hash = :password_hash::text, token_version = token_version + 1, updated_at = now()
WHERE id = :user_id::bigint AND password_hash = :old_password_hash::text
RETURNING id;

-- name: reset_password
-- Sets a password without checking the old one, and revokes all earlier tokens.
-- With a token version, only if it is still the account's: of two requests that read the same version, the second
-- waits for the first and then finds another version.
UPDATE users
SET password_hash = :password_hash::text, token_version = token_version + 1, updated_at = now()
WHERE
    id = :user_id::bigint
    AND (:token_version::integer IS NULL OR token_version = :token_version::integer)
RETURNING id;

-- name: rehash_password
-- Stores the same password with the current hashing parameters, unless it was changed meanwhile.
UPDATE users
SET password_hash = :password_hash::text, updated_at = now()
WHERE id = :user_id::bigint AND password_hash = :old_password_hash::text
RETURNING id;

-- name: revoke_tokens
-- Revokes every token of an account.
UPDATE users
SET token_version = token_version + 1, updated_at = now()
WHERE id = :user_id::bigint
RETURNING id;

-- name: queue_rights
-- Takes a lock, so that changes of rights and erasures run one at a time, until the transaction ends.
-- `erase_personal_data` takes the same lock. Without it, two last admins who demote each other would each still see the
-- other as admin.
SELECT pg_advisory_xact_lock(hashtextextended('erase_personal_data', 0));

-- name: change_rights
-- Changes role and activity, and revokes all earlier tokens; no row if that would take away the last active admin.
UPDATE users AS u
SET
    role = coalesce(:role::text, u.role),
    active = coalesce(:active::boolean, u.active),
    token_version = u.token_version + 1,
    updated_at = now()
WHERE
    u.id = :user_id::bigint
    AND (
        u.role <> 'admin'
        OR NOT u.active
        OR (coalesce(:role::text, 'admin') = 'admin' AND coalesce(:active::boolean, TRUE))
        OR EXISTS (SELECT 1 FROM users AS o WHERE o.role = 'admin' AND o.active AND o.id <> :user_id::bigint)
    )
RETURNING u.user_columns;

-- name: find_user
-- Reads the account with an e-mail address.
SELECT u.user_columns
FROM users AS u
WHERE email_key(u.email) = email_key(:email::text);

-- name: find_newest_user
-- Finds the id of the newest account before an id; zero if there is none.
SELECT coalesce(max(u.id), 0) AS id
FROM users AS u
WHERE u.id < :before_id::bigint;

-- name: list_users
-- A page of the accounts between two ids, newest first; a null filter is off.
-- Few accounts are not patients, so a role has a separate walk along `users_of_role`. The planner must use that index,
-- however many accounts it expects, because no other has this order. The caller bounds both walks with `floor_id`.
WITH of_any_role AS (
    SELECT u.id FROM users AS u
    WHERE
        :role::text IS NULL
        AND u.id < :before_id::bigint
        AND u.id >= :floor_id::bigint
        AND (:pattern::text IS NULL OR concat_ws(' ', u.name, u.email) ~ :pattern::text)
    ORDER BY u.id DESC
    LIMIT 501
),

of_role AS (
    SELECT u.id FROM users AS u
    WHERE
        u.role >= :role::text
        AND (u.role, u.id) < (:role::text, :before_id::bigint)
        AND u.id >= :floor_id::bigint
        AND (:pattern::text IS NULL OR concat_ws(' ', u.name, u.email) ~ :pattern::text)
    ORDER BY u.role DESC, u.id DESC
    LIMIT 501
),

page AS (
    SELECT p.id
    FROM (
        SELECT a.id FROM of_any_role AS a
        UNION ALL
        SELECT r.id FROM of_role AS r
    ) AS p
    ORDER BY p.id DESC
    LIMIT :limit::integer
)

SELECT u.user_columns
FROM users AS u
WHERE u.id IN (SELECT p.id FROM page AS p)
ORDER BY u.id DESC;

-- name: has_admin
-- Tells whether there is an active admin.
SELECT exists(SELECT 1 FROM users AS u WHERE u.role = 'admin' AND u.active) AS found;

-- name: queue_login
-- Takes a lock, so that log-ins to one account from one IP run one at a time, until the transaction ends.
-- Without it, 64 guesses at the same instant would all count the failures before any of them is written.
SELECT pg_advisory_xact_lock(hashtextextended(encode(:account_hash::bytea, 'hex'), 0));

-- name: count_failed_logins
-- Counts recent failures of one account from one IP, and the seconds until the oldest is forgotten.
SELECT
    count(*)::integer AS failures,
    coalesce(
        ceil(
            extract(EPOCH FROM min(a.created_at) + make_interval(secs => :window_seconds::integer) - clock_timestamp())
        ),
        0
    )::integer AS retry_after
FROM login_attempts AS a
WHERE
    a.account_hash = :account_hash::bytea
    AND a.created_at > clock_timestamp() - make_interval(secs => :window_seconds::integer);

-- name: record_login_attempt
-- Counts an attempt as failed until it has succeeded, so that a crash in between does not give a free guess.
INSERT INTO login_attempts (account_hash) VALUES (:account_hash::bytea);

-- name: forget_login_attempts
-- Forgets the failures of one account from one IP, after a success.
DELETE FROM login_attempts WHERE account_hash = :account_hash::bytea;

-- name: prune_login_attempts
-- Removes attempts that are older than the window.
DELETE FROM login_attempts WHERE created_at <= now() - make_interval(secs => :window_seconds::integer);
