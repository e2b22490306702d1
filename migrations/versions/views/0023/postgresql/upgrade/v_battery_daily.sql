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
        g.name AS gateway,
        t.day,
        s.charge_wh,
        s.discharge_wh,
        COALESCE(s.estimated_wh, 0) AS estimated_wh,
        s.min_soc_pct,
        s.max_soc_pct,
        s.capacity_wh,
        s.stored_wh
    FROM energy_daily t
    JOIN (SELECT
            o.gateway_id,
            o.name,
            array_agg(o.gateway_id) OVER (PARTITION BY o.name) AS gateway_ids
        FROM gateways o) g ON g.gateway_id = t.gateway_id
    CROSS JOIN LATERAL (SELECT
            MIN(e.gateway_id) AS gateway_id,
            SUM(e.battery_charge_wh) AS charge_wh,
            SUM(e.battery_discharge_wh) AS discharge_wh,
            SUM(e.battery_estimated_wh) AS estimated_wh,
            MIN(l.min_soc_pct) AS min_soc_pct,
            MAX(l.max_soc_pct) AS max_soc_pct,
            SUM((SELECT SUM(c.capacity_wh) FROM batteries c WHERE c.gateway_id = e.gateway_id
                AND (c.first_seen_at IS NULL OR c.first_seen_at < h.until)
                AND (c.last_seen_at IS NULL OR c.last_seen_at >= h.since))) AS capacity_wh,
            SUM(l.stored_wh) AS stored_wh
        FROM unnest(g.gateway_ids) AS o(gateway_id)
        CROSS JOIN LATERAL (SELECT
                x.gateway_id,
                x.day,
                x.battery_charge_wh,
                x.battery_discharge_wh,
                x.battery_estimated_wh
            FROM energy_daily x
            WHERE x.gateway_id = o.gateway_id
                AND x.day = t.day
                AND x.phase = 'total'
                AND (x.battery_charge_wh IS NOT NULL OR x.battery_discharge_wh IS NOT NULL)
            LIMIT 1) e
        JOIN LATERAL (SELECT
                MIN(h.starts_at) AS since,
                MAX(h.starts_at + h.period_s * INTERVAL '1 second') AS until
            FROM energy_hourly h
            WHERE h.gateway_id = e.gateway_id
                AND h.phase = 'total'
                AND h.starts_at AT TIME ZONE 'UTC' + h.utc_offset_s * INTERVAL '1 second' >= e.day
                AND h.starts_at AT TIME ZONE 'UTC' + h.utc_offset_s * INTERVAL '1 second' < e.day + 1) h ON h.since IS NOT NULL
        CROSS JOIN LATERAL battery_levels(e.gateway_id, h.since, h.until) l) s
    WHERE t.phase = 'total'
        AND (t.battery_charge_wh IS NOT NULL OR t.battery_discharge_wh IS NOT NULL)
        AND CASE WHEN s.gateway_id = t.gateway_id THEN TRUE ELSE FALSE END) d
