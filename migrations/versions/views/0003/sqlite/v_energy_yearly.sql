CREATE VIEW v_energy_yearly AS
SELECT
    g.name AS gateway,
    CAST(strftime('%Y', e.day) AS INTEGER) AS year,
    CAST(ROUND(CAST(SUM(e.production_wh) / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS production_kwh,
    CAST(ROUND(CAST(SUM(e.consumption_wh) / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS consumption_kwh,
    CAST(ROUND(CAST(SUM(e.grid_import_wh) / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS grid_import_kwh,
    CAST(ROUND(CAST(SUM(e.grid_export_wh) / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS grid_export_kwh,
    CAST(ROUND(CAST(SUM(e.battery_charge_wh) / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS battery_charge_kwh,
    CAST(ROUND(CAST(SUM(e.battery_discharge_wh) / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS battery_discharge_kwh,
    CAST(ROUND(CAST((SUM(e.production_wh) - SUM(e.grid_export_wh)) / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS self_consumption_kwh,
    CAST(ROUND(CAST(100.0 * (SUM(e.production_wh) - SUM(e.grid_export_wh)) / NULLIF(SUM(e.production_wh), 0) AS NUMERIC), 3) AS DOUBLE PRECISION) AS self_consumption_pct,
    CAST(ROUND(CAST(100.0 * (SUM(e.consumption_wh) - SUM(e.grid_import_wh)) / NULLIF(SUM(e.consumption_wh), 0) AS NUMERIC), 3) AS DOUBLE PRECISION) AS self_sufficiency_pct,
    CAST(ROUND(CAST(SUM(e.production_wh) / 1000.0 / NULLIF(MAX(g.peak_power_kwp), 0) AS NUMERIC), 6) AS DOUBLE PRECISION) AS specific_yield_kwh_per_kwp,
    MAX(e.peak_production_w) AS peak_production_w,
    CAST(ROUND(CAST(100.0 * SUM(e.covered_s) / NULLIF((SUM(e.period_s) + (CAST(strftime('%j', MIN(e.day)) AS INTEGER) - 1) * 86400), 0) AS NUMERIC), 3) AS DOUBLE PRECISION) AS coverage_pct,
    CAST(ROUND(CAST(SUM(e.bridged_wh) / 1000.0 AS NUMERIC), 6) AS DOUBLE PRECISION) AS bridged_kwh
FROM energy_daily e
JOIN gateways g ON g.gateway_id = e.gateway_id
WHERE e.phase = 'total'
GROUP BY e.gateway_id, g.name, CAST(strftime('%Y', e.day) AS INTEGER)
