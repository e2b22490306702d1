CREATE VIEW v_phase_daily AS
SELECT
    g.name AS gateway,
    e.day,
    e.phase,
    (CAST(ROUND(ROUND(CAST((SUM(e.production_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS production_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.consumption_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS consumption_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.grid_import_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_import_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.grid_export_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_export_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.battery_charge_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_charge_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.battery_discharge_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_discharge_kwh
FROM gateways g
CROSS JOIN energy_daily e ON g.gateway_id = e.gateway_id
WHERE e.phase <> 'total'
GROUP BY g.name, e.day, e.phase
