CREATE VIEW v_energy_daily AS
SELECT
    e.gateway,
    e.day,
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
    (CAST(ROUND(ROUND(CAST((100.0 * CASE WHEN e.covered_s > e.period_s THEN e.period_s ELSE e.covered_s END / NULLIF(e.period_s, 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS coverage_pct,
    (CAST(ROUND(ROUND(CAST((e.bridged_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS bridged_kwh
FROM (SELECT
        g.name AS gateway,
        t.day,
        CASE WHEN g.is_shared THEN s.production_wh ELSE t.production_wh END AS production_wh,
        CASE WHEN g.is_shared THEN s.consumption_wh ELSE t.consumption_wh END AS consumption_wh,
        CASE WHEN g.is_shared THEN s.grid_import_wh ELSE t.grid_import_wh END AS grid_import_wh,
        CASE WHEN g.is_shared THEN s.grid_export_wh ELSE t.grid_export_wh END AS grid_export_wh,
        CASE WHEN g.is_shared THEN s.battery_charge_wh ELSE t.battery_charge_wh END AS battery_charge_wh,
        CASE WHEN g.is_shared THEN s.battery_discharge_wh ELSE t.battery_discharge_wh END AS battery_discharge_wh,
        CASE WHEN g.is_shared THEN s.peak_production_w ELSE t.peak_production_w END AS peak_production_w,
        CASE WHEN g.is_shared THEN s.period_s ELSE t.period_s END AS period_s,
        CASE WHEN g.is_shared THEN s.covered_s ELSE t.covered_s END AS covered_s,
        CASE WHEN g.is_shared THEN s.bridged_wh ELSE t.bridged_wh END AS bridged_wh,
        CASE WHEN g.is_shared THEN s.peak_power_kwp ELSE g.peak_power_kwp END AS peak_power_kwp
    FROM energy_daily t
    JOIN (SELECT
            o.gateway_id,
            o.name,
            o.peak_power_kwp,
            COUNT(*) OVER (PARTITION BY o.name) > 1 AS is_shared
        FROM gateways o) g ON g.gateway_id = t.gateway_id
    CROSS JOIN LATERAL (SELECT
            MIN(x.gateway_id) AS gateway_id,
            CAST(SUM(x.production_wh) AS DOUBLE PRECISION) AS production_wh,
            CAST(SUM(x.consumption_wh) AS DOUBLE PRECISION) AS consumption_wh,
            CAST(SUM(x.grid_import_wh) AS DOUBLE PRECISION) AS grid_import_wh,
            CAST(SUM(x.grid_export_wh) AS DOUBLE PRECISION) AS grid_export_wh,
            CAST(SUM(x.battery_charge_wh) AS DOUBLE PRECISION) AS battery_charge_wh,
            CAST(SUM(x.battery_discharge_wh) AS DOUBLE PRECISION) AS battery_discharge_wh,
            CAST(MAX(x.peak_production_w) AS DOUBLE PRECISION) AS peak_production_w,
            CAST(MAX(x.period_s) AS INTEGER) AS period_s,
            CAST(SUM(x.covered_s) AS INTEGER) AS covered_s,
            CAST(SUM(x.bridged_wh) AS DOUBLE PRECISION) AS bridged_wh,
            MAX(o.peak_power_kwp) AS peak_power_kwp
        FROM gateways o
        JOIN energy_daily x ON x.gateway_id = o.gateway_id
        WHERE g.is_shared
            AND o.name IS NOT DISTINCT FROM g.name
            AND x.phase = 'total'
            AND x.day = t.day) s
    WHERE t.phase = 'total'
        AND (NOT g.is_shared OR s.gateway_id = t.gateway_id)) e
