-- migrate:up
SET LOCAL lock_timeout = '5s';

-- Whether tomorrow's list of the clinic is written each evening. The default is for the release before, which writes it
-- for every clinic.
ALTER TABLE clinics ADD COLUMN evening_list boolean NOT NULL DEFAULT TRUE;

-- migrate:down
-- Forward only: to go back, restore a backup.
