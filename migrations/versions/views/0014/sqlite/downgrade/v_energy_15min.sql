CREATE VIEW v_energy_15min AS
SELECT
    g.name AS gateway,
    e.starts_at AS quarter_starts_at,
    datetime(e.starts_at, e.utc_offset_s || ' seconds') AS local_quarter,
    (CAST(ROUND(ROUND(CAST((SUM(e.production_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS production_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.consumption_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS consumption_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.grid_import_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_import_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.grid_export_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_export_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.battery_charge_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_charge_kwh,
    (CAST(ROUND(ROUND(CAST((SUM(e.battery_discharge_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_discharge_kwh,
    (CAST(ROUND(ROUND(CAST(((SUM(e.production_wh) - SUM(e.grid_export_wh)) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS self_consumption_kwh,
    (CAST(ROUND(ROUND(CAST((100.0 * (SUM(e.production_wh) - SUM(e.grid_export_wh)) / NULLIF(SUM(e.production_wh), 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS self_consumption_pct,
    (CAST(ROUND(ROUND(CAST((100.0 * (SUM(e.consumption_wh) - SUM(e.grid_import_wh)) / NULLIF(SUM(e.consumption_wh), 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS self_sufficiency_pct,
    (CAST(ROUND(ROUND(CAST((SUM(e.production_wh) / 1000.0 / NULLIF(MAX(g.peak_power_kwp), 0)) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS specific_yield_kwh_per_kwp,
    MAX(e.peak_production_w) AS peak_production_w,
    (CAST(ROUND(ROUND(CAST((100.0 * CASE WHEN SUM(e.covered_s) > 900 THEN 900 ELSE SUM(e.covered_s) END / 900) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS coverage_pct,
    (CAST(ROUND(ROUND(CAST((SUM(e.bridged_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS bridged_kwh
FROM gateways g
CROSS JOIN energy_15min e ON g.gateway_id = e.gateway_id
WHERE e.phase = 'total'
GROUP BY g.name, e.starts_at, e.utc_offset_s
