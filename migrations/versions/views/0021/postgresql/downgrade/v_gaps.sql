CREATE VIEW v_gaps AS
SELECT
    g.name AS gateway,
    f.starts_at AT TIME ZONE 'UTC' + f.utc_offset_s * INTERVAL '1 second' AS starts_at,
    l.starts_at AT TIME ZONE 'UTC' + (l.utc_offset_s + 900) * INTERVAL '1 second' AS ends_at,
    (SELECT SUM(900 - q.covered_s) FROM energy_15min q WHERE q.gateway_id = f.gateway_id AND q.phase = 'total' AND q.covered_s < 900 AND q.starts_at >= f.starts_at AND q.starts_at <= l.starts_at) AS missing_s
FROM energy_15min f
JOIN gateways g ON g.gateway_id = f.gateway_id
CROSS JOIN LATERAL (SELECT
        n.starts_at,
        n.utc_offset_s
    FROM energy_15min n
    WHERE n.gateway_id = f.gateway_id AND n.phase = 'total' AND n.covered_s < 900 AND n.starts_at >= f.starts_at
        AND NOT EXISTS (SELECT m.starts_at FROM energy_15min m WHERE m.gateway_id = n.gateway_id AND m.phase = 'total' AND m.covered_s < 900 AND m.starts_at = n.starts_at + INTERVAL '900 seconds')
    ORDER BY n.starts_at
    LIMIT 1) l
WHERE f.phase = 'total' AND f.covered_s < 900
    AND CASE WHEN EXISTS (SELECT p.starts_at FROM energy_15min p WHERE p.gateway_id = f.gateway_id AND p.phase = 'total' AND p.covered_s < 900 AND p.starts_at = f.starts_at - INTERVAL '900 seconds') THEN FALSE ELSE TRUE END
