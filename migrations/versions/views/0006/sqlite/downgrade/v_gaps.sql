CREATE VIEW v_gaps AS
SELECT
    g.name AS gateway,
    MIN(s.starts_at) AS starts_at,
    datetime(MAX(s.starts_at), '900 seconds') AS ends_at,
    SUM(900 - s.covered_s) AS missing_s
FROM (SELECT
        q.gateway_id,
        q.starts_at,
        q.covered_s,
        strftime('%s', q.starts_at) / 900 - ROW_NUMBER() OVER (PARTITION BY q.gateway_id ORDER BY q.starts_at) AS island
    FROM energy_15min q
    WHERE q.phase = 'total'
        AND q.covered_s < 900) s
JOIN gateways g ON g.gateway_id = s.gateway_id
GROUP BY s.gateway_id, g.name, s.island
