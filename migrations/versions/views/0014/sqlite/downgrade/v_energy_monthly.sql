CREATE VIEW v_energy_monthly AS
SELECT
    e.gateway,
    strftime('%Y-%m', e.day) AS month,
    (CAST(ROUND(ROUND(CAST((SUM(e.production_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS production_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.consumption_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS consumption_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.grid_import_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_import_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.grid_export_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_export_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.battery_charge_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_charge_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.battery_discharge_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_discharge_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.production_wh - e.grid_export_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS self_consumption_kwh,
    (CAST(ROUND(ROUND(CAST((100.0 * SUM(e.production_wh - e.grid_export_wh) / NULLIF(SUM(CASE WHEN e.grid_export_wh IS NOT NULL THEN e.production_wh END), 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS self_consumption_pct,
    (CAST(ROUND(ROUND(CAST((100.0 * SUM(e.consumption_wh - e.grid_import_wh) / NULLIF(SUM(CASE WHEN e.grid_import_wh IS NOT NULL THEN e.consumption_wh END), 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS self_sufficiency_pct,
    (CAST(ROUND(ROUND(CAST((SUM(e.production_wh) / 1000.0 / NULLIF(MAX(e.peak_power_kwp), 0)) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS specific_yield_kwh_per_kwp,
    MAX(e.peak_production_w) AS peak_production_w,
    (CAST(ROUND(ROUND(CAST((100.0 * SUM(e.covered_s) / NULLIF((SUM(e.period_s) + (CAST(julianday(MIN(date(MIN(e.day), 'start of month', '+1 month', '-1 day'), MAX(date('now', '-1 day'), MAX(e.day)))) - julianday(date(MIN(e.day), 'start of month')) + 1 AS INTEGER) - COUNT(*)) * 86400), 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS coverage_pct,
    (CAST(ROUND(ROUND(CAST((SUM(e.bridged_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS bridged_kwh
FROM (SELECT
        g.name AS gateway,
        e.day,
        SUM(e.production_wh) AS production_wh,
        SUM(e.consumption_wh) AS consumption_wh,
        SUM(e.grid_import_wh) AS grid_import_wh,
        SUM(e.grid_export_wh) AS grid_export_wh,
        SUM(e.battery_charge_wh) AS battery_charge_wh,
        SUM(e.battery_discharge_wh) AS battery_discharge_wh,
        MAX(e.peak_production_w) AS peak_production_w,
        MAX(e.period_s) AS period_s,
        CASE WHEN SUM(e.covered_s) > MAX(e.period_s) THEN MAX(e.period_s) ELSE SUM(e.covered_s) END AS covered_s,
        SUM(e.bridged_wh) AS bridged_wh,
        MAX(g.peak_power_kwp) AS peak_power_kwp
    FROM gateways g
    CROSS JOIN energy_daily e ON g.gateway_id = e.gateway_id
    WHERE e.phase = 'total'
    GROUP BY g.name, e.day) e
GROUP BY e.gateway, strftime('%Y-%m', e.day)
