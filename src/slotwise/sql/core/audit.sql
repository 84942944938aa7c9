-- name: record_action
-- Notes who did what to whom.
INSERT INTO audit_log (actor, action, subject, details, request_id)
VALUES (:actor::text, :action::text, :subject::text, :details::text::jsonb, :request_id::text);

-- name: list_audit
-- A page of the audit log, newest first; a null filter is off.
-- At most one of the four walks reads anything: the one along the index of the narrowest filter. The limit of 501 (a
-- page and one more) is a number for the reason given with `list_slots`. It compares and sorts by a row that begins
-- with the filter, instead of using `=`: the planner does not know how rare the value is, and would walk all times.
WITH of_subject AS (
    SELECT a.id, a.actor, a.action, a.subject, a.details, a.request_id, a.created_at
    FROM audit_log AS a
    WHERE
        (a.subject, a.created_at) >= (:subject::text, :noted_from::timestamptz)
        AND (:actor::text IS NULL OR a.actor = :actor::text)
        AND (:action::text IS NULL OR a.action = :action::text)
        AND (a.subject, a.created_at, a.id) < (:subject::text, :before_time::timestamptz, :before_id::bigint)
    ORDER BY a.subject DESC, a.created_at DESC, a.id DESC
    LIMIT 501
),

of_actor AS (
    SELECT a.id, a.actor, a.action, a.subject, a.details, a.request_id, a.created_at
    FROM audit_log AS a
    WHERE
        :subject::text IS NULL
        AND (a.actor, a.created_at) >= (:actor::text, :noted_from::timestamptz)
        AND (:action::text IS NULL OR a.action = :action::text)
        AND (a.actor, a.created_at, a.id) < (:actor::text, :before_time::timestamptz, :before_id::bigint)
    ORDER BY a.actor DESC, a.created_at DESC, a.id DESC
    LIMIT 501
),

of_action AS (
    SELECT a.id, a.actor, a.action, a.subject, a.details, a.request_id, a.created_at
    FROM audit_log AS a
    WHERE
        :subject::text IS NULL
        AND :actor::text IS NULL
        AND (a.action, a.created_at) >= (:action::text, :noted_from::timestamptz)
        AND (a.action, a.created_at, a.id) < (:action::text, :before_time::timestamptz, :before_id::bigint)
    ORDER BY a.action DESC, a.created_at DESC, a.id DESC
    LIMIT 501
),

of_anything AS (
    SELECT a.id, a.actor, a.action, a.subject, a.details, a.request_id, a.created_at
    FROM audit_log AS a
    WHERE
        :subject::text IS NULL
        AND :actor::text IS NULL
        AND :action::text IS NULL
        AND a.created_at >= :noted_from::timestamptz
        AND (a.created_at, a.id) < (:before_time::timestamptz, :before_id::bigint)
    ORDER BY a.created_at DESC, a.id DESC
    LIMIT 501
),

page AS (
    SELECT a.id, a.actor, a.action, a.subject, a.details, a.request_id, a.created_at
    FROM (
        SELECT s.* FROM of_subject AS s
        UNION ALL
        SELECT t.* FROM of_actor AS t
        UNION ALL
        SELECT n.* FROM of_action AS n
        UNION ALL
        SELECT e.* FROM of_anything AS e
    ) AS a
    ORDER BY a.created_at DESC, a.id DESC
    LIMIT :limit::integer
)

SELECT
    p.id,
    p.actor,
    (
        SELECT u.name FROM users AS u
        WHERE u.id = CASE WHEN p.actor ~ '^user:[0-9]{1,18}$' THEN substr(p.actor, 6)::bigint END
    ) AS actor_name,
    p.action,
    p.subject,
    p.details::text AS details,
    p.request_id,
    p.created_at
FROM page AS p
ORDER BY p.created_at DESC, p.id DESC;

-- name: list_moves
-- Reads the audit notes of a slot's moves to another time or doctor, given the times of their ledger rows.
-- A move is noted just after its ledger row, in the same transaction and under the slot's lock. So the note is the
-- first one of a change of the slot from that time on. The walk covers ten seconds, whichever index it uses.
SELECT m.moved_at, a.details::text AS details
FROM unnest(:moved_at::timestamptz[]) AS m (moved_at)
CROSS JOIN
    LATERAL (
        SELECT a.details
        FROM audit_log AS a
        WHERE
            a.subject = :subject::text
            AND a.created_at >= m.moved_at
            AND a.created_at < m.moved_at + interval '10 seconds'
            AND a.action IN ('update_slot', 'take_over_slot')
        ORDER BY a.created_at, a.id
        LIMIT 1
    ) AS a
ORDER BY m.moved_at;
