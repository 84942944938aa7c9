-- migrate:up

-- The audit log as admins read it, newest first: of a period, of one actor, of one action, of one subject.
CREATE INDEX audit_log_by_time ON audit_log (created_at, id);
CREATE INDEX audit_log_of_actor ON audit_log (actor, created_at, id);
CREATE INDEX audit_log_of_action ON audit_log (action, created_at, id);
DROP INDEX audit_log_of_subject;
CREATE INDEX audit_log_of_subject ON audit_log (subject, created_at, id);

-- The few who are not patients, among all who are.
CREATE INDEX users_of_role ON users (role, id);

-- migrate:down
-- Forward only: to go back, restore a backup.
