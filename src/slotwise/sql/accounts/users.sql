-- name: create_user
-- Adds an account; no row where the address is taken.
-- That is no error of the database, because its log would have the address.
INSERT INTO users AS u (email, name, role, password_hash)
VALUES (:email::text, :name::text, :role::text, :password_hash::text)
ON CONFLICT ((lower(email))) DO NOTHING
RETURNING u.user_columns;

-- name: get_user
-- Reads an account.
SELECT u.user_columns
FROM users AS u
WHERE u.id = :user_id::bigint;

-- name: get_credentials
-- Reads what a log-in is checked against.
SELECT u.id, u.password_hash, u.active, u.token_version
FROM users AS u
WHERE lower(u.email) = lower(:email::text);

-- name: get_password_hash
-- Reads the password hash of an account.
SELECT u.password_hash
FROM users AS u
WHERE u.id = :user_id::bigint;

-- name: change_password
-- Sets a password and revokes every token given out before, unless the old one was replaced since it was checked.
UPDATE users
SET password_hash = :password_hash::text, token_version = token_version + 1, updated_at = now()
WHERE id = :user_id::bigint AND password_hash = :old_password_hash::text
RETURNING id;

-- name: reset_password
-- Sets a password whatever the old one is, and revokes every token given out before. Where a version of the tokens is
-- given, only while it is the account's: of two who saw that version, the second waits for the first and finds another.
UPDATE users
SET password_hash = :password_hash::text, token_version = token_version + 1, updated_at = now()
WHERE
    id = :user_id::bigint
    AND (:token_version::integer IS NULL OR token_version = :token_version::integer)
RETURNING id;

-- name: rehash_password
-- Stores the same password under today's hashing parameters, unless it was changed meanwhile.
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
-- Lets changes of rights and erasures pass one at a time, until the transaction ends.
-- The lock is that of `erase_personal_data`.
-- Without it two last admins who demote each other would each still see the other.
SELECT pg_advisory_xact_lock(hashtextextended('erase_personal_data', 0));

-- name: change_rights
-- Changes role and activity, and revokes every token given out under the old ones; no row for the last active admin.
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
-- Reads the account with an address.
SELECT u.user_columns
FROM users AS u
WHERE lower(u.email) = lower(:email::text);

-- name: find_newest_user
-- Tells the newest account before an id; zero where there is none.
SELECT coalesce(max(u.id), 0) AS id
FROM users AS u
WHERE u.id < :before_id::bigint;

-- name: list_users
-- A page of the accounts between two ids, newest first; a filter that is null does not filter.
-- Few have a role that is not the patient's, hence a walk of its own, along `users_of_role` whatever the planner thinks
-- of how many have it: no other index gives its order. The caller bounds both by `floor_id`.
WITH of_any_role AS (
    SELECT u.id FROM users AS u
    WHERE
        :role::text IS NULL
        AND u.id < :before_id::bigint
        AND u.id >= :floor_id::bigint
        AND (:pattern::text IS NULL OR u.name ILIKE :pattern::text OR u.email ILIKE :pattern::text)
    ORDER BY u.id DESC
    LIMIT 501
),

of_role AS (
    SELECT u.id FROM users AS u
    WHERE
        u.role >= :role::text
        AND (u.role, u.id) < (:role::text, :before_id::bigint)
        AND u.id >= :floor_id::bigint
        AND (:pattern::text IS NULL OR u.name ILIKE :pattern::text OR u.email ILIKE :pattern::text)
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
-- Tells whether anybody can administer this installation.
SELECT exists(SELECT 1 FROM users AS u WHERE u.role = 'admin' AND u.active) AS found;

-- name: queue_login
-- Lets log-ins to one account from one address pass one at a time, until the transaction ends.
-- Without it 64 guesses at the same instant would all count the failures before any of them is written.
SELECT pg_advisory_xact_lock(hashtextextended(encode(:account_hash::bytea, 'hex'), 0));

-- name: count_failed_logins
-- Counts recent failures of one account from one address, and tells in how many seconds the oldest is forgotten.
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
-- Counts an attempt as failed until it has succeeded, so that a crash in between does not give a guess for free.
INSERT INTO login_attempts (account_hash) VALUES (:account_hash::bytea);

-- name: forget_login_attempts
-- Forgets the failures of one account from one address, after a success.
DELETE FROM login_attempts WHERE account_hash = :account_hash::bytea;

-- name: prune_login_attempts
-- Forgets attempts past their time.
DELETE FROM login_attempts WHERE created_at <= now() - make_interval(secs => :window_seconds::integer);
