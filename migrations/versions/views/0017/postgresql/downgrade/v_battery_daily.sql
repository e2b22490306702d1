CREATE VIEW v_battery_daily AS
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
        b.gateway,
        b.day,
        SUM(b.charge_wh) AS charge_wh,
        SUM(b.discharge_wh) AS discharge_wh,
        COALESCE(SUM(b.estimated_wh), 0) AS estimated_wh,
        MIN(b.min_soc_pct) AS min_soc_pct,
        MAX(b.max_soc_pct) AS max_soc_pct,
        SUM(b.capacity_wh) AS capacity_wh,
        SUM(b.stored_wh) AS stored_wh
    FROM (SELECT
            g.name AS gateway,
            e.day,
            e.battery_charge_wh AS charge_wh,
            e.battery_discharge_wh AS discharge_wh,
            e.battery_estimated_wh AS estimated_wh,
            l.min_soc_pct,
            l.max_soc_pct,
            (SELECT SUM(c.capacity_wh) FROM batteries c WHERE c.gateway_id = e.gateway_id
                AND (c.first_seen_at IS NULL OR c.first_seen_at < h.until)
                AND (c.last_seen_at IS NULL OR c.last_seen_at >= h.since)) AS capacity_wh,
            COALESCE(CASE WHEN l.encharge_last_wh IS NOT NULL THEN l.encharge_last_wh - COALESCE((SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at <= h.since ORDER BY s.polled_at DESC LIMIT 1), l.encharge_first_wh) END, CASE WHEN l.acb_last_wh IS NOT NULL THEN l.acb_last_wh - COALESCE((SELECT s.energy_wh FROM storage_samples s WHERE s.gateway_id = e.gateway_id AND s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at <= h.since ORDER BY s.polled_at DESC LIMIT 1), l.acb_first_wh) END) AS stored_wh
        FROM energy_daily e
        JOIN gateways g ON g.gateway_id = e.gateway_id
        JOIN LATERAL (SELECT MIN(h.starts_at) AS since, MAX(h.starts_at + h.period_s * INTERVAL '1 second') AS until
            FROM energy_hourly h
            WHERE h.gateway_id = e.gateway_id
                AND h.phase = 'total'
                AND h.starts_at AT TIME ZONE 'UTC' + h.utc_offset_s * INTERVAL '1 second' >= e.day
                AND h.starts_at AT TIME ZONE 'UTC' + h.utc_offset_s * INTERVAL '1 second' < e.day + 1) h ON h.since IS NOT NULL
        CROSS JOIN LATERAL (SELECT
                MIN(s.soc_pct) FILTER (WHERE s.polled_at < h.until) AS min_soc_pct,
                MAX(s.soc_pct) FILTER (WHERE s.polled_at < h.until) AS max_soc_pct,
                (array_agg(s.energy_wh ORDER BY s.polled_at) FILTER (WHERE s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since))[1] AS encharge_first_wh,
                (array_agg(s.energy_wh ORDER BY s.polled_at DESC) FILTER (WHERE s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since))[1] AS encharge_last_wh,
                (array_agg(s.energy_wh ORDER BY s.polled_at) FILTER (WHERE s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since))[1] AS acb_first_wh,
                (array_agg(s.energy_wh ORDER BY s.polled_at DESC) FILTER (WHERE s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at > h.since))[1] AS acb_last_wh
            FROM storage_samples s
            WHERE s.gateway_id = e.gateway_id
                AND s.polled_at >= h.since
                AND s.polled_at <= h.until) l
        WHERE e.phase = 'total'
            AND (e.battery_charge_wh IS NOT NULL OR e.battery_discharge_wh IS NOT NULL)) b
    GROUP BY b.gateway, b.day) d
