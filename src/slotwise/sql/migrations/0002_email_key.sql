-- migrate:up
SET LOCAL lock_timeout = '5s';

-- By which e-mail addresses are compared; `domain.fields.email_key` is the same in Python. Only A to Z are folded: what
-- else `lower` folds depends on the database's locale, and İ becomes i in most of them, so that the address of one
-- person would open the data of another.
CREATE FUNCTION email_key(email text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(email COLLATE "C")
$$;

-- In a few locales, such as the Turkish one, `lower` keeps I and i apart. Then two accounts may have one key now, and
-- only a person can say which of them stays. The message has no e-mail address, because it goes to the database's log.
DO $$
DECLARE
    twins text;
BEGIN
    SELECT string_agg(t.ids, '; ' ORDER BY t.ids) INTO twins
    FROM (
        SELECT string_agg(u.id::text, ' and ' ORDER BY u.id) AS ids
        FROM users AS u
        GROUP BY email_key(u.email)
        HAVING count(*) > 1
    ) AS t;
    IF twins IS NOT NULL THEN
        RAISE EXCEPTION 'accounts % have one e-mail address but for case: with the release before, erase all but one'
            ' of them', twins;
    END IF;
END
$$;

-- So `lower(email)` in the unique index is `email_key(email)`, and the index is built again. It keeps its expression,
-- because the release before inserts accounts with ON CONFLICT ((lower(email))). Locks no table of the booking path
-- but accounts, for as long as it takes to index them.
ALTER TABLE users ALTER COLUMN email TYPE text COLLATE "C";
ALTER TABLE users ALTER COLUMN email SET STATISTICS 0;
ALTER INDEX user_email_unique ALTER COLUMN 1 SET STATISTICS 0;

-- migrate:down
-- Forward only: to go back, restore a backup.
