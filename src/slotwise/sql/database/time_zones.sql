-- name: read_offsets
-- Reads by how many seconds a zone's clocks are ahead of UTC at some moments, by PostgreSQL's time zone database.
-- Only to compare it with Slotwise's own, by which all local times are computed.
SELECT
    m.moment,
    extract(EPOCH FROM timezone(:zone::text, m.moment) - timezone('UTC', m.moment))::integer AS seconds
FROM unnest(:moments::timestamptz[]) AS m (moment)
ORDER BY m.moment;
