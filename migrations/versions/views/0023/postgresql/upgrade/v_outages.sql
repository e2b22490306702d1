CREATE VIEW v_outages AS
SELECT
    o.gateway,
    o.lost_at AT TIME ZONE 'UTC' + o.lost_offset_s * INTERVAL '1 second' AS starts_at,
    o.back_at AT TIME ZONE 'UTC' + o.back_offset_s * INTERVAL '1 second' AS ends_at,
    (CAST(ROUND(ROUND(CAST((CAST(extract(epoch FROM o.back_at - o.lost_at) AS BIGINT) / 60.0) * 10.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 10.0) AS minutes,
    (CAST(ROUND(ROUND(CAST(((SELECT CASE WHEN COUNT(*) = COUNT(q.consumption_wh) THEN SUM(q.consumption_wh) END FROM energy_15min q
        WHERE q.gateway_id = o.gateway_id AND q.phase = 'total' AND q.starts_at >= o.lost_at AND q.starts_at < o.back_at AND q.starts_at + INTERVAL '900 seconds' <= o.back_at) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS consumption_kwh,
    battery_level(o.gateway_id, o.lost_at) AS soc_start_pct,
    battery_level(o.gateway_id, o.back_at) AS soc_end_pct
FROM (SELECT
        v.gateway_id,
        g.name AS gateway,
        v.at AS lost_at,
        v.utc_offset_s AS lost_offset_s,
        b.at AS back_at,
        b.utc_offset_s AS back_offset_s
    FROM (SELECT
            v.gateway_id,
            v.at,
            v.kind,
            v.utc_offset_s
        FROM events v
        UNION ALL
        SELECT
            v.gateway_id,
            v.at,
            v.kind,
            COALESCE(
                (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = v.gateway_id AND q.starts_at <= v.at ORDER BY q.starts_at DESC LIMIT 1),
                (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = v.gateway_id ORDER BY q.starts_at LIMIT 1),
                0) AS utc_offset_s
        FROM events v
        WHERE v.utc_offset_s IS NULL) v
    LEFT JOIN (gateways g CROSS JOIN regexp_matches('0', '0', 'g') AS once) ON g.gateway_id = v.gateway_id
    LEFT JOIN LATERAL (SELECT
            b.at,
            COALESCE(b.utc_offset_s,
                (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = b.gateway_id AND q.starts_at <= b.at ORDER BY q.starts_at DESC LIMIT 1),
                (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = b.gateway_id ORDER BY q.starts_at LIMIT 1),
                0) AS utc_offset_s
        FROM events b WHERE b.gateway_id = v.gateway_id AND b.kind IN ('grid_lost', 'grid_back') AND b.kind = 'grid_back' AND b.at > v.at ORDER BY b.at LIMIT 1) b ON TRUE
    WHERE v.kind = 'grid_lost'
        AND v.utc_offset_s IS NOT NULL
        AND COALESCE((SELECT p.kind FROM events p WHERE p.gateway_id = v.gateway_id AND p.kind IN ('grid_lost', 'grid_back') AND p.at < v.at ORDER BY p.at DESC LIMIT 1), '') <> 'grid_lost') o
