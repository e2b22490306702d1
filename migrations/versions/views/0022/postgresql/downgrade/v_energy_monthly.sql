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
    (CAST(ROUND(ROUND(CAST((100.0 * e.covered_s / NULLIF((e.period_s + ((LEAST(CAST(date_trunc('month', e.first_day) + INTERVAL '1 month' AS DATE) - 1, GREATEST(CAST(now() AT TIME ZONE 'UTC' AS DATE) - 1, e.last_day)) - CAST(date_trunc('month', e.first_day) AS DATE) + 1) - e.days) * 86400), 0)) * 1000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000.0) AS coverage_pct,
    (CAST(ROUND(ROUND(CAST((e.bridged_wh / 1000.0) * 1000000.0 AS NUMERIC), 3), 0) AS DOUBLE PRECISION) / 1000000.0) AS bridged_kwh
FROM (SELECT
        g.name AS gateway,
        CAST(CAST(extract(year FROM t.day) AS INTEGER) AS TEXT) || '-' || lpad(CAST(CAST(extract(month FROM t.day) AS INTEGER) AS TEXT), 2, '0') AS month,
        s.first_day,
        s.last_day,
        s.days,
        s.production_wh,
        s.consumption_wh,
        s.grid_import_wh,
        s.grid_export_wh,
        s.battery_charge_wh,
        s.battery_discharge_wh,
        s.self_consumption_wh,
        s.known_production_wh,
        s.self_supply_wh,
        s.known_consumption_wh,
        s.peak_production_w,
        s.covered_s,
        s.period_s,
        s.bridged_wh,
        s.peak_power_kwp
    FROM energy_daily t
    JOIN (SELECT
            o.gateway_id,
            o.name,
            o.peak_power_kwp,
            COUNT(*) OVER (PARTITION BY o.name) > 1 AS is_shared
        FROM gateways o) g ON g.gateway_id = t.gateway_id
    CROSS JOIN LATERAL (SELECT
            t.gateway_id,
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
            g.peak_power_kwp
        FROM energy_daily e
        WHERE NOT g.is_shared
            AND e.gateway_id = t.gateway_id
            AND e.phase = 'total'
            AND CAST(CAST(extract(year FROM e.day) AS INTEGER) AS TEXT) || '-' || lpad(CAST(CAST(extract(month FROM e.day) AS INTEGER) AS TEXT), 2, '0') = CAST(CAST(extract(year FROM t.day) AS INTEGER) AS TEXT) || '-' || lpad(CAST(CAST(extract(month FROM t.day) AS INTEGER) AS TEXT), 2, '0')
        HAVING COUNT(*) > 0
        UNION ALL
        SELECT
            MIN(several.gateway_id) AS gateway_id,
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
                x.day,
                MIN(x.gateway_id) AS gateway_id,
                SUM(x.production_wh) AS production_wh,
                SUM(x.consumption_wh) AS consumption_wh,
                SUM(x.grid_import_wh) AS grid_import_wh,
                SUM(x.grid_export_wh) AS grid_export_wh,
                SUM(x.battery_charge_wh) AS battery_charge_wh,
                SUM(x.battery_discharge_wh) AS battery_discharge_wh,
                MAX(x.peak_production_w) AS peak_production_w,
                MAX(x.period_s) AS period_s,
                CASE WHEN SUM(x.covered_s) > MAX(x.period_s) THEN MAX(x.period_s) ELSE SUM(x.covered_s) END AS covered_s,
                SUM(x.bridged_wh) AS bridged_wh,
                MAX(o.peak_power_kwp) AS peak_power_kwp
            FROM gateways o
            JOIN energy_daily x ON x.gateway_id = o.gateway_id
            WHERE g.is_shared
                AND o.name IS NOT DISTINCT FROM g.name
                AND x.phase = 'total'
                AND CAST(CAST(extract(year FROM x.day) AS INTEGER) AS TEXT) || '-' || lpad(CAST(CAST(extract(month FROM x.day) AS INTEGER) AS TEXT), 2, '0') = CAST(CAST(extract(year FROM t.day) AS INTEGER) AS TEXT) || '-' || lpad(CAST(CAST(extract(month FROM t.day) AS INTEGER) AS TEXT), 2, '0')
            GROUP BY x.day) several
        HAVING COUNT(*) > 0) s
    WHERE t.phase = 'total'
        AND s.gateway_id = t.gateway_id
        AND CASE WHEN EXISTS (SELECT n.day FROM energy_daily n WHERE n.gateway_id = t.gateway_id AND n.phase = 'total' AND n.day > t.day AND n.day < date_trunc('month', t.day) + INTERVAL '1 month') THEN FALSE ELSE TRUE END) e
