CREATE VIEW v_inverter_daily AS
SELECT
    e.gateway,
    e.day,
    e.serial,
    (CAST(ROUND(ROUND(CAST((e.energy_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS energy_kwh,
    e.peak_power_w,
    e.covered_s
FROM (SELECT
        g.name AS gateway,
        t.day,
        t.serial,
        CASE WHEN g.is_shared THEN s.energy_wh ELSE t.energy_wh END AS energy_wh,
        CASE WHEN g.is_shared THEN s.peak_power_w ELSE t.peak_power_w END AS peak_power_w,
        CASE WHEN g.is_shared THEN s.covered_s ELSE CAST(t.covered_s AS BIGINT) END AS covered_s
    FROM inverter_daily t
    JOIN (SELECT
            o.gateway_id,
            o.name,
            o.peak_power_kwp,
            COUNT(*) OVER (PARTITION BY o.name) > 1 AS is_shared
        FROM gateways o) g ON g.gateway_id = t.gateway_id
    CROSS JOIN LATERAL (SELECT
            MIN(x.gateway_id) AS gateway_id,
            CAST(SUM(x.energy_wh) AS DOUBLE PRECISION) AS energy_wh,
            CAST(MAX(x.peak_power_w) AS DOUBLE PRECISION) AS peak_power_w,
            CAST(SUM(x.covered_s) AS BIGINT) AS covered_s
        FROM gateways o
        JOIN inverter_daily x ON x.gateway_id = o.gateway_id
        WHERE g.is_shared
            AND o.name IS NOT DISTINCT FROM g.name
            AND x.day = t.day
            AND x.serial = t.serial) s
    WHERE (NOT g.is_shared OR s.gateway_id = t.gateway_id)) e
