CREATE VIEW v_inverter_daily AS
SELECT
    g.name AS gateway,
    i.day,
    i.serial,
    (CAST(ROUND(ROUND(CAST((SUM(i.energy_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS energy_kwh,
    MAX(i.peak_power_w) AS peak_power_w,
    SUM(i.covered_s) AS covered_s
FROM inverter_daily i
JOIN gateways g ON g.gateway_id = i.gateway_id
GROUP BY g.name, i.day, i.serial
