CREATE VIEW v_gaps AS
SELECT
    g.name AS gateway,
    datetime(f.starts_at, f.utc_offset_s || ' seconds') AS starts_at,
    datetime(l.starts_at, (l.utc_offset_s + 900) || ' seconds') AS ends_at,
    (SELECT SUM(900 - q.covered_s) FROM energy_15min q WHERE q.gateway_id = f.gateway_id AND q.phase = 'total' AND q.covered_s < 900 AND q.starts_at >= f.starts_at AND q.starts_at <= l.starts_at) AS missing_s
FROM energy_15min f
JOIN gateways g ON g.gateway_id = f.gateway_id
JOIN energy_15min l ON l.gateway_id = f.gateway_id
    AND l.phase = 'total' AND l.covered_s < 900
    AND l.starts_at = (SELECT n.starts_at FROM energy_15min n WHERE n.gateway_id = f.gateway_id AND n.phase = 'total' AND n.covered_s < 900 AND n.starts_at >= f.starts_at AND NOT EXISTS (SELECT m.starts_at FROM energy_15min m WHERE m.gateway_id = n.gateway_id AND m.phase = 'total' AND m.covered_s < 900 AND m.starts_at = datetime(n.starts_at, '900 seconds')) ORDER BY n.starts_at LIMIT 1)
WHERE f.phase = 'total' AND f.covered_s < 900
    AND NOT EXISTS (SELECT p.starts_at FROM energy_15min p WHERE p.gateway_id = f.gateway_id AND p.phase = 'total' AND p.covered_s < 900 AND p.starts_at = datetime(f.starts_at, '-900 seconds'))
