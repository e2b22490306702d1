CREATE VIEW v_inverter_daily AS
SELECT
    i.gateway,
    i.day,
    i.serial,
    (CAST(ROUND(ROUND(CAST((i.energy_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS energy_kwh,
    i.peak_power_w,
    i.covered_s
FROM (SELECT
        g.name AS gateway,
        i.day,
        i.serial,
        i.energy_wh,
        i.peak_power_w,
        CAST(i.covered_s AS BIGINT) AS covered_s
    FROM inverter_daily i
    JOIN gateways g ON g.gateway_id = i.gateway_id
    WHERE NOT EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS NOT DISTINCT FROM g.name AND o.gateway_id <> g.gateway_id)
    UNION ALL
    SELECT several.* FROM (SELECT
            g.name AS gateway,
            i.day,
            i.serial,
            CAST(SUM(i.energy_wh) AS DOUBLE PRECISION) AS energy_wh,
            CAST(MAX(i.peak_power_w) AS DOUBLE PRECISION) AS peak_power_w,
            CAST(SUM(i.covered_s) AS BIGINT) AS covered_s
        FROM gateways g
        JOIN inverter_daily i ON i.gateway_id = g.gateway_id
        WHERE EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS NOT DISTINCT FROM g.name AND o.gateway_id <> g.gateway_id)
        GROUP BY g.name, i.day, i.serial) several) i
