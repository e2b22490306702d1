CREATE VIEW v_battery_daily AS
WITH days AS NOT MATERIALIZED (SELECT
    e.gateway_id,
    e.day,
    e.battery_charge_wh AS charge_wh,
    e.battery_discharge_wh AS discharge_wh,
    e.battery_estimated_wh AS estimated_wh,
    (SELECT MIN(s.soc_pct) FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.polled_at >= h.since AND s.polled_at < h.until) AS min_soc_pct,
    (SELECT MAX(s.soc_pct) FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.polled_at >= h.since AND s.polled_at < h.until) AS max_soc_pct,
    (SELECT SUM(c.capacity_wh) FROM batteries c WHERE c.gateway_id = e.gateway_id AND (c.first_seen_at IS NULL OR c.first_seen_at < h.until) AND (c.last_seen_at IS NULL OR c.last_seen_at >= h.since)) AS capacity_wh,
    COALESCE(CASE WHEN (SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since AND s.polled_at <= h.until ORDER BY s.polled_at DESC LIMIT 1) IS NOT NULL THEN (SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since AND s.polled_at <= h.until ORDER BY s.polled_at DESC LIMIT 1) - COALESCE((SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at <= h.since ORDER BY s.polled_at DESC LIMIT 1), (SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since AND s.polled_at <= h.until ORDER BY s.polled_at LIMIT 1)) END, CASE WHEN (SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since AND s.polled_at <= h.until ORDER BY s.polled_at DESC LIMIT 1) IS NOT NULL THEN (SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since AND s.polled_at <= h.until ORDER BY s.polled_at DESC LIMIT 1) - COALESCE((SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at <= h.since ORDER BY s.polled_at DESC LIMIT 1), (SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since AND s.polled_at <= h.until ORDER BY s.polled_at LIMIT 1)) END) AS stored_wh
FROM energy_daily e
JOIN LATERAL (SELECT MIN(h.starts_at) AS since, MAX(h.starts_at + h.period_s * INTERVAL '1 second') AS until
    FROM energy_hourly h
    WHERE h.gateway_id = e.gateway_id
        AND h.phase = 'total'
        AND h.starts_at AT TIME ZONE 'UTC' + h.utc_offset_s * INTERVAL '1 second' >= e.day
        AND h.starts_at AT TIME ZONE 'UTC' + h.utc_offset_s * INTERVAL '1 second' < e.day + 1) h ON h.since IS NOT NULL
WHERE e.phase = 'total'
    AND (e.battery_charge_wh IS NOT NULL OR e.battery_discharge_wh IS NOT NULL))
SELECT
    d.gateway,
    d.day,
    (CAST(ROUND(ROUND(CAST((d.charge_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS charge_kwh,
    (CAST(ROUND(ROUND(CAST((d.discharge_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS discharge_kwh,
    (CAST(ROUND(ROUND(CAST((100.0 * d.estimated_wh / NULLIF(COALESCE(d.charge_wh, 0) + COALESCE(d.discharge_wh, 0), 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS estimated_pct,
    d.min_soc_pct,
    d.max_soc_pct,
    (CAST(ROUND(ROUND(CAST((d.discharge_wh / NULLIF(d.capacity_wh, 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS cycles,
    CASE WHEN d.discharge_wh >= d.capacity_wh THEN (CAST(ROUND(ROUND(CAST((100.0 * (d.discharge_wh + d.stored_wh) / NULLIF(d.charge_wh, 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) END AS efficiency_pct
FROM (SELECT
        g.name AS gateway,
        b.day,
        CAST(b.charge_wh AS DOUBLE PRECISION) AS charge_wh,
        CAST(b.discharge_wh AS DOUBLE PRECISION) AS discharge_wh,
        CAST(COALESCE(b.estimated_wh, 0.0) AS DOUBLE PRECISION) AS estimated_wh,
        CAST(b.min_soc_pct AS DOUBLE PRECISION) AS min_soc_pct,
        CAST(b.max_soc_pct AS DOUBLE PRECISION) AS max_soc_pct,
        CAST(b.capacity_wh AS DOUBLE PRECISION) AS capacity_wh,
        CAST(b.stored_wh AS DOUBLE PRECISION) AS stored_wh
    FROM days b
    JOIN gateways g ON g.gateway_id = b.gateway_id
    WHERE NOT EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS NOT DISTINCT FROM g.name AND o.gateway_id <> g.gateway_id)
    UNION ALL
    SELECT several.* FROM (SELECT
            g.name AS gateway,
            b.day,
            CAST(SUM(b.charge_wh) AS DOUBLE PRECISION) AS charge_wh,
            CAST(SUM(b.discharge_wh) AS DOUBLE PRECISION) AS discharge_wh,
            CAST(COALESCE(SUM(b.estimated_wh), 0.0) AS DOUBLE PRECISION) AS estimated_wh,
            CAST(MIN(b.min_soc_pct) AS DOUBLE PRECISION) AS min_soc_pct,
            CAST(MAX(b.max_soc_pct) AS DOUBLE PRECISION) AS max_soc_pct,
            CAST(SUM(b.capacity_wh) AS DOUBLE PRECISION) AS capacity_wh,
            CAST(SUM(b.stored_wh) AS DOUBLE PRECISION) AS stored_wh
        FROM gateways g
        JOIN days b ON b.gateway_id = g.gateway_id
        WHERE EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS NOT DISTINCT FROM g.name AND o.gateway_id <> g.gateway_id)
        GROUP BY g.name, b.day) several) d
