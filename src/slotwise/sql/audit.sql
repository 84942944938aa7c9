-- name: record_action
-- Notes who did what to whom.
INSERT INTO audit_log (actor, action, subject, details, request_id)
VALUES (:actor::text, :action::text, :subject::text, :details::text::jsonb, :request_id::text);
