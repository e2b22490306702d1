CREATE VIEW v_gaps AS
SELECT
    g.name AS gateway,
    datetime(s.first_at, f.utc_offset_s || ' seconds') AS starts_at,
    datetime(s.last_at, (l.utc_offset_s + 900) || ' seconds') AS ends_at,
    s.missing_s
FROM (SELECT
        i.gateway_id,
        MIN(i.starts_at) AS first_at,
        MAX(i.starts_at) AS last_at,
        SUM(900 - i.covered_s) AS missing_s
    FROM (SELECT
            q.gateway_id,
            q.starts_at,
            q.covered_s,
            strftime('%s', q.starts_at) / 900 - ROW_NUMBER() OVER (PARTITION BY q.gateway_id ORDER BY q.starts_at) AS island
        FROM energy_15min q
        WHERE q.phase = 'total'
            AND q.covered_s < 900) i
    GROUP BY i.gateway_id, i.island) s
JOIN gateways g ON g.gateway_id = s.gateway_id
JOIN energy_15min f ON f.gateway_id = s.gateway_id
    AND f.starts_at = s.first_at
    AND f.phase = 'total'
JOIN energy_15min l ON l.gateway_id = s.gateway_id
    AND l.starts_at = s.last_at
    AND l.phase = 'total'
