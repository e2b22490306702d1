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
        substr(t.day, 1, 7) AS month,
        CAST(json_extract(s.value, '$[11]') AS TEXT) AS first_day,
        CAST(json_extract(s.value, '$[12]') AS TEXT) AS last_day,
        CAST(json_extract(s.value, '$[13]') AS INTEGER) AS days,
        CAST(json_extract(s.value, '$[0]') AS DOUBLE PRECISION) AS production_wh,
        CAST(json_extract(s.value, '$[1]') AS DOUBLE PRECISION) AS consumption_wh,
        CAST(json_extract(s.value, '$[2]') AS DOUBLE PRECISION) AS grid_import_wh,
        CAST(json_extract(s.value, '$[3]') AS DOUBLE PRECISION) AS grid_export_wh,
        CAST(json_extract(s.value, '$[4]') AS DOUBLE PRECISION) AS battery_charge_wh,
        CAST(json_extract(s.value, '$[5]') AS DOUBLE PRECISION) AS battery_discharge_wh,
        CAST(json_extract(s.value, '$[6]') AS DOUBLE PRECISION) AS self_consumption_wh,
        CAST(json_extract(s.value, '$[7]') AS DOUBLE PRECISION) AS known_production_wh,
        CAST(json_extract(s.value, '$[8]') AS DOUBLE PRECISION) AS self_supply_wh,
        CAST(json_extract(s.value, '$[9]') AS DOUBLE PRECISION) AS known_consumption_wh,
        CAST((SELECT MAX(e.peak_production_w) FROM energy_daily e WHERE e.gateway_id = t.gateway_id AND e.phase = 'total' AND substr(e.day, 1, 7) = substr(t.day, 1, 7)) AS DOUBLE PRECISION) AS peak_production_w,
        CAST(json_extract(s.value, '$[14]') AS INTEGER) AS covered_s,
        CAST(json_extract(s.value, '$[15]') AS INTEGER) AS period_s,
        CAST(json_extract(s.value, '$[10]') AS DOUBLE PRECISION) AS bridged_wh,
        g.peak_power_kwp
    FROM gateways found
    CROSS JOIN energy_daily t
    JOIN gateways g ON g.gateway_id = t.gateway_id
    JOIN json_each((SELECT json_array(json_array(
                NULLIF(NULLIF(SUM(e.production_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(e.consumption_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(e.grid_import_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(e.grid_export_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(e.battery_charge_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(e.battery_discharge_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(e.production_wh - e.grid_export_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(CASE WHEN e.grid_export_wh IS NOT NULL THEN e.production_wh END), 9e999), -9e999),
                NULLIF(NULLIF(SUM(e.consumption_wh - e.grid_import_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(CASE WHEN e.grid_import_wh IS NOT NULL THEN e.consumption_wh END), 9e999), -9e999),
                NULLIF(NULLIF(SUM(e.bridged_wh), 9e999), -9e999),
                MIN(e.day),
                MAX(e.day),
                COUNT(*),
                SUM(CASE WHEN e.covered_s > e.period_s THEN e.period_s ELSE e.covered_s END),
                SUM(e.period_s)))
            FROM energy_daily e
            WHERE e.gateway_id = t.gateway_id
                AND e.phase = 'total'
                AND substr(e.day, 1, 7) = substr(t.day, 1, 7))) s
    WHERE t.phase = 'total'
        AND NOT EXISTS (SELECT n.day FROM energy_daily n WHERE n.gateway_id = t.gateway_id AND n.phase = 'total' AND n.day > t.day AND substr(n.day, 1, 7) = substr(t.day, 1, 7))
        AND found.gateway_id = (SELECT MIN(o.gateway_id) FROM gateways o GROUP BY o.name HAVING COUNT(*) = 1 LIMIT 1)
        AND g.gateway_id = (SELECT CASE WHEN COUNT(*) = 1 THEN MIN(o.gateway_id) END FROM gateways o WHERE o.name IS g.name)
    UNION ALL
    SELECT
        k.gateway,
        substr(k.day, 1, 7) AS month,
        CAST(json_extract(s.value, '$[11]') AS TEXT) AS first_day,
        CAST(json_extract(s.value, '$[12]') AS TEXT) AS last_day,
        CAST(json_extract(s.value, '$[13]') AS INTEGER) AS days,
        CAST(json_extract(s.value, '$[0]') AS DOUBLE PRECISION) AS production_wh,
        CAST(json_extract(s.value, '$[1]') AS DOUBLE PRECISION) AS consumption_wh,
        CAST(json_extract(s.value, '$[2]') AS DOUBLE PRECISION) AS grid_import_wh,
        CAST(json_extract(s.value, '$[3]') AS DOUBLE PRECISION) AS grid_export_wh,
        CAST(json_extract(s.value, '$[4]') AS DOUBLE PRECISION) AS battery_charge_wh,
        CAST(json_extract(s.value, '$[5]') AS DOUBLE PRECISION) AS battery_discharge_wh,
        CAST(json_extract(s.value, '$[6]') AS DOUBLE PRECISION) AS self_consumption_wh,
        CAST(json_extract(s.value, '$[7]') AS DOUBLE PRECISION) AS known_production_wh,
        CAST(json_extract(s.value, '$[8]') AS DOUBLE PRECISION) AS self_supply_wh,
        CAST(json_extract(s.value, '$[9]') AS DOUBLE PRECISION) AS known_consumption_wh,
        CAST((SELECT MAX(e.peak_production_w) FROM gateways o CROSS JOIN energy_daily e ON e.gateway_id = o.gateway_id WHERE o.name IS k.gateway AND e.phase = 'total' AND substr(e.day, 1, 7) = substr(k.day, 1, 7)) AS DOUBLE PRECISION) AS peak_production_w,
        CAST(json_extract(s.value, '$[14]') AS INTEGER) AS covered_s,
        CAST(json_extract(s.value, '$[15]') AS INTEGER) AS period_s,
        CAST(json_extract(s.value, '$[10]') AS DOUBLE PRECISION) AS bridged_wh,
        CAST(json_extract(s.value, '$[16]') AS DOUBLE PRECISION) AS peak_power_kwp
    FROM (SELECT
            g.name AS gateway,
            t.day
        FROM gateways g
        JOIN energy_daily t ON t.gateway_id = g.gateway_id
        WHERE t.phase = 'total'
            AND g.gateway_id = (SELECT MAX(o.gateway_id) FROM gateways o GROUP BY o.name HAVING COUNT(*) = 2 ORDER BY MIN(o.gateway_id) LIMIT 1)
            AND NOT EXISTS (SELECT n.day FROM energy_daily n WHERE n.gateway_id = t.gateway_id AND n.phase = 'total' AND n.day > t.day AND substr(n.day, 1, 7) = substr(t.day, 1, 7))
        UNION ALL
        SELECT
            g.name AS gateway,
            t.day
        FROM gateways g
        JOIN energy_daily t ON t.gateway_id = g.gateway_id
        WHERE t.phase = 'total'
            AND g.gateway_id = (SELECT MIN(o.gateway_id) FROM gateways o GROUP BY o.name HAVING COUNT(*) = 2 ORDER BY MIN(o.gateway_id) LIMIT 1)
            AND NOT EXISTS (SELECT n.day FROM energy_daily n WHERE n.gateway_id = t.gateway_id AND n.phase = 'total' AND n.day > t.day AND substr(n.day, 1, 7) = substr(t.day, 1, 7))
            AND NOT EXISTS (SELECT n.day FROM energy_daily n WHERE n.gateway_id = (SELECT MAX(o.gateway_id) FROM gateways o WHERE o.name IS g.name) AND n.phase = 'total' AND substr(n.day, 1, 7) = substr(t.day, 1, 7))) k
    JOIN json_each((SELECT json_array(json_array(
                NULLIF(NULLIF(SUM(several.production_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(several.consumption_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(several.grid_import_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(several.grid_export_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(several.battery_charge_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(several.battery_discharge_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(several.production_wh - several.grid_export_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(CASE WHEN several.grid_export_wh IS NOT NULL THEN several.production_wh END), 9e999), -9e999),
                NULLIF(NULLIF(SUM(several.consumption_wh - several.grid_import_wh), 9e999), -9e999),
                NULLIF(NULLIF(SUM(CASE WHEN several.grid_import_wh IS NOT NULL THEN several.consumption_wh END), 9e999), -9e999),
                NULLIF(NULLIF(SUM(several.bridged_wh), 9e999), -9e999),
                MIN(several.day),
                MAX(several.day),
                COUNT(*),
                SUM(several.covered_s),
                SUM(several.period_s),
                MAX(several.peak_power_kwp)))
            FROM (SELECT
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
                WHERE g.name IS k.gateway
                    AND e.phase = 'total'
                    AND substr(e.day, 1, 7) = substr(k.day, 1, 7)
                GROUP BY e.day) several)) s
    UNION ALL
    SELECT
        several.gateway,
        substr(several.first_day, 1, 7) AS month,
        several.first_day,
        several.last_day,
        several.days,
        several.production_wh,
        several.consumption_wh,
        several.grid_import_wh,
        several.grid_export_wh,
        several.battery_charge_wh,
        several.battery_discharge_wh,
        several.self_consumption_wh,
        several.known_production_wh,
        several.self_supply_wh,
        several.known_consumption_wh,
        several.peak_production_w,
        several.covered_s,
        several.period_s,
        several.bridged_wh,
        several.peak_power_kwp
    FROM (SELECT
            several.gateway,
            substr(several.day, 1, 7) AS month,
            CAST(MIN(several.day) AS TEXT) AS first_day,
            CAST(MAX(several.day) AS TEXT) AS last_day,
            CAST(COUNT(*) AS INTEGER) AS days,
            CAST(SUM(several.production_wh) AS DOUBLE PRECISION) AS production_wh,
            CAST(SUM(several.consumption_wh) AS DOUBLE PRECISION) AS consumption_wh,
            CAST(SUM(several.grid_import_wh) AS DOUBLE PRECISION) AS grid_import_wh,
            CAST(SUM(several.grid_export_wh) AS DOUBLE PRECISION) AS grid_export_wh,
            CAST(SUM(several.battery_charge_wh) AS DOUBLE PRECISION) AS battery_charge_wh,
            CAST(SUM(several.battery_discharge_wh) AS DOUBLE PRECISION) AS battery_discharge_wh,
            CAST(SUM(several.production_wh - several.grid_export_wh) AS DOUBLE PRECISION) AS self_consumption_wh,
            CAST(SUM(CASE WHEN several.grid_export_wh IS NOT NULL THEN several.production_wh END) AS DOUBLE PRECISION) AS known_production_wh,
            CAST(SUM(several.consumption_wh - several.grid_import_wh) AS DOUBLE PRECISION) AS self_supply_wh,
            CAST(SUM(CASE WHEN several.grid_import_wh IS NOT NULL THEN several.consumption_wh END) AS DOUBLE PRECISION) AS known_consumption_wh,
            CAST(MAX(several.peak_production_w) AS DOUBLE PRECISION) AS peak_production_w,
            CAST(SUM(several.covered_s) AS INTEGER) AS covered_s,
            CAST(SUM(several.period_s) AS INTEGER) AS period_s,
            CAST(SUM(several.bridged_wh) AS DOUBLE PRECISION) AS bridged_wh,
            CAST(MAX(several.peak_power_kwp) AS DOUBLE PRECISION) AS peak_power_kwp
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
                AND NOT EXISTS (SELECT f.gateway_id FROM gateways f WHERE f.gateway_id = (SELECT MIN(o.gateway_id) FROM gateways o GROUP BY o.name HAVING COUNT(*) = 2 ORDER BY MIN(o.gateway_id) LIMIT 1) AND f.name IS g.name)
            GROUP BY g.name, e.day) several
        GROUP BY several.gateway, substr(several.day, 1, 7)) several) e
