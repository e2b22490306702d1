CREATE VIEW v_power_now AS
SELECT
    g.name AS gateway,
    p.polled_at AS measured_at,
    p.production_w,
    CASE
        WHEN p.total_w IS NULL THEN NULL
        WHEN p.storage_at IS NOT NULL THEN CAST(ROUND(CAST(p.storage_w + CASE p.total_source WHEN 'ct' THEN p.total_w ELSE p.production_w + p.net_w END AS numeric), 3) AS double precision)
        WHEN NOT EXISTS (SELECT m.eid FROM meters m WHERE m.gateway_id = g.gateway_id AND m.measurement = 'storage' AND m.state = 'enabled') THEN p.total_w
    END AS consumption_w,
    p.net_w AS grid_w,
    CASE
        WHEN p.storage_at IS NOT NULL THEN p.storage_w
        WHEN EXISTS (SELECT m.eid FROM meters m WHERE m.gateway_id = g.gateway_id AND m.measurement = 'storage' AND m.state = 'enabled') THEN NULL
        WHEN p.encharge_at IS NOT NULL THEN p.encharge_w + COALESCE(p.acb_w, 0)
        ELSE p.acb_w
    END AS battery_w,
    COALESCE(p.encharge_soc_pct, p.acb_soc_pct) AS battery_soc_pct,
    COALESCE(
        (SELECT s.state FROM site_states s WHERE s.gateway_id = g.gateway_id AND s.subject = 'grid_mode' ORDER BY s.at DESC LIMIT 1),
        (SELECT CASE s.state WHEN 'closed' THEN 'on_grid' WHEN 'open' THEN 'off_grid' ELSE s.state END
            FROM site_states s WHERE s.gateway_id = g.gateway_id AND s.subject = 'grid_relay' ORDER BY s.at DESC LIMIT 1)
    ) AS grid_state
FROM gateways g
CROSS JOIN LATERAL newest_powers(g.gateway_id, COALESCE(g.last_seen_at, now())) p
