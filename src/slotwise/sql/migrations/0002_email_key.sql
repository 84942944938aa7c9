-- migrate:up
SET LOCAL lock_timeout = '5s';

-- By which e-mail addresses are compared; `domain.fields.email_key` is the same in Python. Only A to Z are folded: what
-- else `lower` folds depends on the database's locale, and İ becomes i in most of them, so that the address of one
-- person would open the data of another.
CREATE FUNCTION email_key(email text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(email COLLATE "C")
$$;

-- So `lower(email)` in the unique index is `email_key(email)`, and the index is built again. It keeps its expression,
-- because the release before inserts accounts with ON CONFLICT ((lower(email))). Locks no table of the booking path
-- but accounts, for as long as it takes to index them.
ALTER TABLE users ALTER COLUMN email TYPE text COLLATE "C";
ALTER TABLE users ALTER COLUMN email SET STATISTICS 0;
ALTER INDEX user_email_unique ALTER COLUMN 1 SET STATISTICS 0;

-- migrate:down
-- Forward only: to go back, restore a backup.
