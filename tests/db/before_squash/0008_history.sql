-- migrate:up
SET LOCAL lock_timeout = '5s';

-- What was applied to this database: every source of the schema by its name, so that a server can tell whether the
-- schema is the one that it was written for. A text is compared, never a time.
CREATE TABLE schema_history (
    -- The file's path below `sql/`.
    name text NOT NULL,
    -- SHA-256 of the file's text, in hexadecimal digits.
    checksum text NOT NULL,
    -- Of the Slotwise that applied this text: numbers with dots between, compared number by number.
    release text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_history_pkey PRIMARY KEY (name),
    CONSTRAINT history_release_is_numbers CHECK (release ~ '^[0-9]+([.][0-9]+)*$')
);

-- migrate:down
-- Forward only: to go back, restore a backup.
