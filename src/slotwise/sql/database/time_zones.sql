-- name: read_changes
-- Reads when the clocks of a zone change between two moments, looking at each hour, and by how many seconds they are
-- ahead of UTC from then on, by PostgreSQL's time zone database. The first moment comes first. Only to compare it with
-- Slotwise's own, by which all local times are computed.
WITH hours AS (
    SELECT
        m.moment,
        timezone(:zone::text, m.moment) - timezone('UTC', m.moment) AS ahead
    FROM generate_series(:first::timestamptz, :last::timestamptz, interval '1 hour') AS m (moment)
),

compared AS (
    SELECT
        h.moment,
        h.ahead,
        lag(h.ahead) OVER (ORDER BY h.moment) AS ahead_before
    FROM hours AS h
)

SELECT
    c.moment,
    extract(EPOCH FROM c.ahead)::integer AS seconds
FROM compared AS c
WHERE c.ahead_before IS DISTINCT FROM c.ahead
ORDER BY c.moment;
