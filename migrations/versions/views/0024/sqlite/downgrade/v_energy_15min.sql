CREATE VIEW v_energy_15min AS
SELECT
    e.gateway,
    e.starts_at AS quarter_starts_at,
    datetime(e.starts_at, e.utc_offset_s || ' seconds') AS local_quarter,
    (CAST(ROUND(ROUND(CAST((e.production_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS production_kwh,
    (CAST(ROUND(ROUND(CAST((e.consumption_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS consumption_kwh,
    (CAST(ROUND(ROUND(CAST((e.grid_import_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_import_kwh,
    (CAST(ROUND(ROUND(CAST((e.grid_export_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_export_kwh,
    (CAST(ROUND(ROUND(CAST((e.battery_charge_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_charge_kwh,
    (CAST(ROUND(ROUND(CAST((e.battery_discharge_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_discharge_kwh,
    (CAST(ROUND(ROUND(CAST(((e.production_wh - e.grid_export_wh) / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS self_consumption_kwh,
    (CAST(ROUND(ROUND(CAST((100.0 * (e.production_wh - e.grid_export_wh) / NULLIF(e.production_wh, 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS self_consumption_pct,
    (CAST(ROUND(ROUND(CAST((CASE WHEN e.consumption_wh <= 0 THEN NULL WHEN (e.consumption_wh - e.grid_import_wh) <= 0 THEN 0.0 ELSE 100.0 * (e.consumption_wh - e.grid_import_wh) / e.consumption_wh END) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS self_sufficiency_pct,
    (CAST(ROUND(ROUND(CAST((e.production_wh / 1000.0 / NULLIF(e.peak_power_kwp, 0)) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS specific_yield_kwh_per_kwp,
    e.peak_production_w,
    (CAST(ROUND(ROUND(CAST((100.0 * CASE WHEN e.covered_s > 900 THEN 900 ELSE e.covered_s END / 900) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS coverage_pct,
    (CAST(ROUND(ROUND(CAST((e.bridged_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS bridged_kwh
FROM (SELECT
        g.name AS gateway,
        e.starts_at,
        e.utc_offset_s,
        e.production_wh,
        e.consumption_wh,
        e.grid_import_wh,
        e.grid_export_wh,
        e.battery_charge_wh,
        e.battery_discharge_wh,
        e.peak_production_w,
        e.covered_s,
        e.bridged_wh,
        g.peak_power_kwp
    FROM energy_15min e
    JOIN gateways g ON g.gateway_id = e.gateway_id
    WHERE e.phase = 'total'
        AND NOT EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS g.name AND o.gateway_id <> g.gateway_id)
    UNION ALL
    SELECT several.* FROM (SELECT
            g.name AS gateway,
            e.starts_at,
            e.utc_offset_s,
            CAST(SUM(e.production_wh) AS DOUBLE PRECISION) AS production_wh,
            CAST(SUM(e.consumption_wh) AS DOUBLE PRECISION) AS consumption_wh,
            CAST(SUM(e.grid_import_wh) AS DOUBLE PRECISION) AS grid_import_wh,
            CAST(SUM(e.grid_export_wh) AS DOUBLE PRECISION) AS grid_export_wh,
            CAST(SUM(e.battery_charge_wh) AS DOUBLE PRECISION) AS battery_charge_wh,
            CAST(SUM(e.battery_discharge_wh) AS DOUBLE PRECISION) AS battery_discharge_wh,
            CAST(MAX(e.peak_production_w) AS DOUBLE PRECISION) AS peak_production_w,
            CAST(SUM(e.covered_s) AS INTEGER) AS covered_s,
            CAST(SUM(e.bridged_wh) AS DOUBLE PRECISION) AS bridged_wh,
            CAST(MAX(g.peak_power_kwp) AS DOUBLE PRECISION) AS peak_power_kwp
        FROM gateways g
        CROSS JOIN energy_15min e ON e.gateway_id = g.gateway_id
        WHERE e.phase = 'total'
            AND EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS g.name AND o.gateway_id <> g.gateway_id)
        GROUP BY g.name, e.starts_at, e.utc_offset_s) several) e
