CREATE VIEW v_outages AS
SELECT
    o.gateway,
    o.lost_at AT TIME ZONE 'UTC' + o.lost_offset_s * INTERVAL '1 second' AS starts_at,
    o.back_at AT TIME ZONE 'UTC' + o.back_offset_s * INTERVAL '1 second' AS ends_at,
    (CAST(ROUND(ROUND(CAST((CAST(extract(epoch FROM o.back_at - o.lost_at) AS BIGINT) / 60.0) * 10.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 10.0) AS minutes,
    (CAST(ROUND(ROUND(CAST(((SELECT CASE WHEN COUNT(*) = COUNT(q.consumption_wh) THEN SUM(q.consumption_wh) END FROM energy_15min q
        WHERE q.gateway_id = o.gateway_id AND q.phase = 'total' AND q.starts_at >= o.lost_at AND q.starts_at < o.back_at AND q.starts_at + INTERVAL '900 seconds' <= o.back_at) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS consumption_kwh,
    (SELECT s.soc_pct FROM storage_samples s WHERE s.gateway_id = o.gateway_id AND s.soc_pct IS NOT NULL AND s.polled_at <= o.lost_at ORDER BY s.polled_at DESC, s.kind DESC LIMIT 1) AS soc_start_pct,
    (SELECT s.soc_pct FROM storage_samples s WHERE s.gateway_id = o.gateway_id AND s.soc_pct IS NOT NULL AND s.polled_at <= o.back_at ORDER BY s.polled_at DESC, s.kind DESC LIMIT 1) AS soc_end_pct
FROM (SELECT
        l.gateway_id,
        l.gateway,
        l.lost_at,
        l.back_at,
        COALESCE(
            (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = l.gateway_id AND q.starts_at <= l.lost_at ORDER BY q.starts_at DESC LIMIT 1),
            (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = l.gateway_id ORDER BY q.starts_at LIMIT 1),
            0) AS lost_offset_s,
        COALESCE(
            (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = l.gateway_id AND q.starts_at <= l.back_at ORDER BY q.starts_at DESC LIMIT 1),
            (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = l.gateway_id ORDER BY q.starts_at LIMIT 1),
            0) AS back_offset_s
    FROM (SELECT
            v.gateway_id,
            g.name AS gateway,
            v.at AS lost_at,
            v.kind,
            (SELECT p.kind FROM events p WHERE p.gateway_id = v.gateway_id AND p.kind IN ('grid_lost', 'grid_back') AND p.at < v.at ORDER BY p.at DESC LIMIT 1) AS kind_before,
            (SELECT b.at FROM events b WHERE b.gateway_id = v.gateway_id AND b.kind IN ('grid_lost', 'grid_back') AND b.kind = 'grid_back' AND b.at > v.at ORDER BY b.at LIMIT 1) AS back_at
        FROM events v
        JOIN gateways g ON g.gateway_id = v.gateway_id
        WHERE v.kind IN ('grid_lost', 'grid_back')) l
    WHERE l.kind = 'grid_lost'
        AND COALESCE(l.kind_before, '') <> 'grid_lost') o
