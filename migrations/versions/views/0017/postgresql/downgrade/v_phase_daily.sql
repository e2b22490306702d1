CREATE VIEW v_phase_daily AS
SELECT
    e.gateway,
    e.day,
    e.phase,
    (CAST(ROUND(ROUND(CAST((e.production_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS production_kwh,
    (CAST(ROUND(ROUND(CAST((e.consumption_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS consumption_kwh,
    (CAST(ROUND(ROUND(CAST((e.grid_import_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_import_kwh,
    (CAST(ROUND(ROUND(CAST((e.grid_export_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_export_kwh,
    (CAST(ROUND(ROUND(CAST((e.battery_charge_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_charge_kwh,
    (CAST(ROUND(ROUND(CAST((e.battery_discharge_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_discharge_kwh
FROM (SELECT
        g.name AS gateway,
        e.day,
        e.phase,
        e.production_wh,
        e.consumption_wh,
        e.grid_import_wh,
        e.grid_export_wh,
        e.battery_charge_wh,
        e.battery_discharge_wh
    FROM energy_daily e
    JOIN gateways g ON g.gateway_id = e.gateway_id
    WHERE e.phase <> 'total'
        AND NOT EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS NOT DISTINCT FROM g.name AND o.gateway_id <> g.gateway_id)
    UNION ALL
    SELECT several.* FROM (SELECT
            g.name AS gateway,
            e.day,
            e.phase,
            CAST(SUM(e.production_wh) AS DOUBLE PRECISION) AS production_wh,
            CAST(SUM(e.consumption_wh) AS DOUBLE PRECISION) AS consumption_wh,
            CAST(SUM(e.grid_import_wh) AS DOUBLE PRECISION) AS grid_import_wh,
            CAST(SUM(e.grid_export_wh) AS DOUBLE PRECISION) AS grid_export_wh,
            CAST(SUM(e.battery_charge_wh) AS DOUBLE PRECISION) AS battery_charge_wh,
            CAST(SUM(e.battery_discharge_wh) AS DOUBLE PRECISION) AS battery_discharge_wh
        FROM gateways g
        JOIN energy_daily e ON e.gateway_id = g.gateway_id
        WHERE e.phase <> 'total'
            AND EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS NOT DISTINCT FROM g.name AND o.gateway_id <> g.gateway_id)
        GROUP BY g.name, e.day, e.phase) several) e
