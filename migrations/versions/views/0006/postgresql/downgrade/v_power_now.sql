CREATE VIEW v_power_now AS
SELECT
    g.name AS gateway,
    p.polled_at AS measured_at,
    p.power_w AS production_w,
    c.power_w + COALESCE(b.power_w, 0) AS consumption_w,
    n.power_w AS grid_w,
    b.power_w AS battery_w
FROM gateways g
JOIN production_samples p ON p.gateway_id = g.gateway_id
    AND p.phase = 'total'
    AND p.polled_at = (SELECT MAX(x.polled_at) FROM production_samples x WHERE x.gateway_id = g.gateway_id)
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
