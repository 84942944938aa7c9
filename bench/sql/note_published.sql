-- Note that the hours of the doctors from $1 to $2 are published until the day before $3, so that the publisher has
-- nothing to do for them.
INSERT INTO rule_runs (rule_id, rule_version, published_until, tzdata)
SELECT r.id, 1, $3::date, $4::text
FROM schedule_rules AS r
WHERE r.doctor_id BETWEEN $1::bigint AND $2::bigint;
