CREATE VIEW v_power_now AS
SELECT
    g.name AS gateway,
    p.polled_at AS measured_at,
    p.power_w AS production_w,
    CASE
        WHEN c.power_w IS NULL THEN NULL
        WHEN b.polled_at IS NOT NULL THEN CAST(ROUND(CAST(b.power_w + CASE c.source WHEN 'ct' THEN c.power_w ELSE p.power_w + n.power_w END AS numeric), 3) AS double precision)
        WHEN NOT EXISTS (SELECT m.eid FROM meters m WHERE m.gateway_id = g.gateway_id AND m.measurement = 'storage' AND m.state = 'enabled') THEN c.power_w
    END AS consumption_w,
    n.power_w AS grid_w,
    CASE
        WHEN b.polled_at IS NOT NULL THEN b.power_w
        WHEN EXISTS (SELECT m.eid FROM meters m WHERE m.gateway_id = g.gateway_id AND m.measurement = 'storage' AND m.state = 'enabled') THEN NULL
        WHEN iq.polled_at IS NOT NULL THEN iq.power_w + COALESCE(ac.power_w, 0)
        ELSE ac.power_w
    END AS battery_w,
    COALESCE(iq.soc_pct, ac.soc_pct) AS battery_soc_pct,
    COALESCE(
        (SELECT s.state FROM site_states s WHERE s.gateway_id = g.gateway_id AND s.subject = 'grid_mode' ORDER BY s.at DESC LIMIT 1),
        (SELECT CASE s.state WHEN 'closed' THEN 'on_grid' WHEN 'open' THEN 'off_grid' ELSE s.state END
            FROM site_states s WHERE s.gateway_id = g.gateway_id AND s.subject = 'grid_relay' ORDER BY s.at DESC LIMIT 1)
    ) AS grid_state
FROM gateways g
CROSS JOIN LATERAL (
    SELECT y.polled_at, y.power_w FROM production_samples y
    WHERE y.gateway_id = g.gateway_id
        AND y.phase = 'total'
        AND y.polled_at = (SELECT x.polled_at FROM production_samples x WHERE x.gateway_id = g.gateway_id ORDER BY x.polled_at DESC LIMIT 1)
    LIMIT 1
) p
LEFT JOIN consumption_samples c ON c.gateway_id = g.gateway_id
    AND c.polled_at = p.polled_at
    AND c.phase = 'total'
    AND c.measurement = 'total-consumption'
LEFT JOIN consumption_samples n ON n.gateway_id = g.gateway_id
    AND n.polled_at = p.polled_at
    AND n.phase = 'total'
    AND n.measurement = 'net-consumption'
LEFT JOIN meter_readings b ON b.gateway_id = g.gateway_id
    AND b.polled_at = p.polled_at
    AND b.phase = 'total'
    AND b.measurement = 'storage'
LEFT JOIN storage_samples iq ON iq.gateway_id = g.gateway_id
    AND iq.polled_at = p.polled_at
    AND iq.kind = 'encharge'
LEFT JOIN storage_samples ac ON ac.gateway_id = g.gateway_id
    AND ac.polled_at = p.polled_at
    AND ac.kind = 'acb'
