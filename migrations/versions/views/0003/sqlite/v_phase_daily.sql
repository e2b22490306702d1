CREATE VIEW v_phase_daily AS
SELECT
    g.name AS gateway,
    e.day,
    e.phase,
    CAST(ROUND(CAST(e.production_wh / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS production_kwh,
    CAST(ROUND(CAST(e.consumption_wh / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS consumption_kwh,
    CAST(ROUND(CAST(e.grid_import_wh / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS grid_import_kwh,
    CAST(ROUND(CAST(e.grid_export_wh / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS grid_export_kwh,
    CAST(ROUND(CAST(e.battery_charge_wh / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS battery_charge_kwh,
    CAST(ROUND(CAST(e.battery_discharge_wh / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS battery_discharge_kwh
FROM energy_daily e
JOIN gateways g ON g.gateway_id = e.gateway_id
WHERE e.phase <> 'total'
