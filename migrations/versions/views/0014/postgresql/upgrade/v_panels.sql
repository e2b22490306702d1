CREATE VIEW v_panels AS
SELECT
    g.name AS gateway,
    p.day,
    p.serial,
    (SELECT n.name FROM panels n WHERE n.gateway_id = p.gateway_id AND n.serial = p.serial) AS name,
    p.array,
    p.state,
    p.relative_pct,
    (CAST(ROUND(ROUND(CAST((p.energy_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS energy_kwh,
    (CAST(ROUND(ROUND(CAST((p.peers_median_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS peers_median_kwh
FROM panel_daily p
JOIN gateways g ON g.gateway_id = p.gateway_id
