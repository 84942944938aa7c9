-- name: create_user
-- Adds an account; no row where the address is taken.
-- That is no error of the database, because its log would have the address.
INSERT INTO users (email, name, role, password_hash)
VALUES (:email::text, :name::text, :role::text, :password_hash::text)
ON CONFLICT ((lower(email))) DO NOTHING
RETURNING id, email, name, role, active, token_version, created_at, updated_at, was_desk;

-- name: get_user
-- Reads an account.
SELECT u.id, u.email, u.name, u.role, u.active, u.token_version, u.created_at, u.updated_at, u.was_desk
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
-- Sets a password whatever the old one is, and revokes every token given out before.
UPDATE users
SET password_hash = :password_hash::text, token_version = token_version + 1, updated_at = now()
WHERE id = :user_id::bigint
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

-- name: change_rights
-- Changes role and activity, and revokes every token given out under the old ones.
UPDATE users
SET
    role = coalesce(:role::text, role),
    active = coalesce(:active::boolean, active),
    token_version = token_version + 1,
    updated_at = now()
WHERE lower(email) = lower(:email::text)
RETURNING id, email, name, role, active, token_version, created_at, updated_at, was_desk;

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
