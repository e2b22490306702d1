CREATE VIEW v_energy_monthly AS
SELECT
    e.gateway,
    e.month,
    (CAST(ROUND(ROUND(CAST((e.production_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS production_kwh,
    (CAST(ROUND(ROUND(CAST((e.consumption_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS consumption_kwh,
    (CAST(ROUND(ROUND(CAST((e.grid_import_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_import_kwh,
    (CAST(ROUND(ROUND(CAST((e.grid_export_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS grid_export_kwh,
    (CAST(ROUND(ROUND(CAST((e.battery_charge_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_charge_kwh,
    (CAST(ROUND(ROUND(CAST((e.battery_discharge_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS battery_discharge_kwh,
    (CAST(ROUND(ROUND(CAST((e.self_consumption_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS self_consumption_kwh,
    (CAST(ROUND(ROUND(CAST((100.0 * e.self_consumption_wh / NULLIF(e.known_production_wh, 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS self_consumption_pct,
    (CAST(ROUND(ROUND(CAST((CASE WHEN e.known_consumption_wh <= 0 THEN NULL WHEN e.self_supply_wh <= 0 THEN 0.0 ELSE 100.0 * e.self_supply_wh / e.known_consumption_wh END) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS self_sufficiency_pct,
    (CAST(ROUND(ROUND(CAST((e.production_wh / 1000.0 / NULLIF(e.peak_power_kwp, 0)) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS specific_yield_kwh_per_kwp,
    e.peak_production_w,
    (CAST(ROUND(ROUND(CAST((100.0 * e.covered_s / NULLIF((e.period_s + (CAST(julianday(MIN(date(e.first_day, 'start of month', '+1 month', '-1 day'), MAX(date('now', '-1 day'), e.last_day))) - julianday(date(e.first_day, 'start of month')) + 1 AS INTEGER) - e.days) * 86400), 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS coverage_pct,
    (CAST(ROUND(ROUND(CAST((e.bridged_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS bridged_kwh
FROM (SELECT
        g.name AS gateway,
        substr(e.day, 1, 7) AS month,
        MIN(e.day) AS first_day,
        MAX(e.day) AS last_day,
        COUNT(*) AS days,
        SUM(e.production_wh) AS production_wh,
        SUM(e.consumption_wh) AS consumption_wh,
        SUM(e.grid_import_wh) AS grid_import_wh,
        SUM(e.grid_export_wh) AS grid_export_wh,
        SUM(e.battery_charge_wh) AS battery_charge_wh,
        SUM(e.battery_discharge_wh) AS battery_discharge_wh,
        SUM(e.production_wh - e.grid_export_wh) AS self_consumption_wh,
        SUM(CASE WHEN e.grid_export_wh IS NOT NULL THEN e.production_wh END) AS known_production_wh,
        SUM(e.consumption_wh - e.grid_import_wh) AS self_supply_wh,
        SUM(CASE WHEN e.grid_import_wh IS NOT NULL THEN e.consumption_wh END) AS known_consumption_wh,
        MAX(e.peak_production_w) AS peak_production_w,
        SUM(CASE WHEN e.covered_s > e.period_s THEN e.period_s ELSE e.covered_s END) AS covered_s,
        SUM(e.period_s) AS period_s,
        SUM(e.bridged_wh) AS bridged_wh,
        MAX(g.peak_power_kwp) AS peak_power_kwp
    FROM energy_daily e
    JOIN gateways g ON g.gateway_id = e.gateway_id
    WHERE e.phase = 'total'
        AND NOT EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS g.name AND o.gateway_id <> g.gateway_id)
    GROUP BY g.name, substr(e.day, 1, 7)
    UNION ALL
    SELECT
        several.gateway,
        substr(several.day, 1, 7) AS month,
        MIN(several.day) AS first_day,
        MAX(several.day) AS last_day,
        COUNT(*) AS days,
        SUM(several.production_wh) AS production_wh,
        SUM(several.consumption_wh) AS consumption_wh,
        SUM(several.grid_import_wh) AS grid_import_wh,
        SUM(several.grid_export_wh) AS grid_export_wh,
        SUM(several.battery_charge_wh) AS battery_charge_wh,
        SUM(several.battery_discharge_wh) AS battery_discharge_wh,
        SUM(several.production_wh - several.grid_export_wh) AS self_consumption_wh,
        SUM(CASE WHEN several.grid_export_wh IS NOT NULL THEN several.production_wh END) AS known_production_wh,
        SUM(several.consumption_wh - several.grid_import_wh) AS self_supply_wh,
        SUM(CASE WHEN several.grid_import_wh IS NOT NULL THEN several.consumption_wh END) AS known_consumption_wh,
        MAX(several.peak_production_w) AS peak_production_w,
        SUM(several.covered_s) AS covered_s,
        SUM(several.period_s) AS period_s,
        SUM(several.bridged_wh) AS bridged_wh,
        MAX(several.peak_power_kwp) AS peak_power_kwp
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
        CROSS JOIN energy_daily e ON e.gateway_id = g.gateway_id
        WHERE e.phase = 'total'
            AND EXISTS (SELECT o.gateway_id FROM gateways o WHERE o.name IS g.name AND o.gateway_id <> g.gateway_id)
        GROUP BY g.name, e.day) several
    GROUP BY several.gateway, substr(several.day, 1, 7)) e
