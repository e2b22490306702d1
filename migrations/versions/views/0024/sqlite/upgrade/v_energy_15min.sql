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
    FROM gateways found
    CROSS JOIN energy_15min e
    JOIN gateways g ON g.gateway_id = e.gateway_id
    WHERE e.phase = 'total'
        AND found.gateway_id = (SELECT MIN(o.gateway_id) FROM gateways o GROUP BY o.name HAVING COUNT(*) = 1 LIMIT 1)
        AND g.gateway_id = (SELECT CASE WHEN COUNT(*) = 1 THEN MIN(o.gateway_id) END FROM gateways o WHERE o.name IS g.name)
    UNION ALL
    SELECT
        g.name AS gateway,
        e.starts_at,
        e.utc_offset_s,
        CAST(COALESCE(e.production_wh + x.production_wh, e.production_wh, x.production_wh) AS DOUBLE PRECISION) AS production_wh,
        CAST(COALESCE(e.consumption_wh + x.consumption_wh, e.consumption_wh, x.consumption_wh) AS DOUBLE PRECISION) AS consumption_wh,
        CAST(COALESCE(e.grid_import_wh + x.grid_import_wh, e.grid_import_wh, x.grid_import_wh) AS DOUBLE PRECISION) AS grid_import_wh,
        CAST(COALESCE(e.grid_export_wh + x.grid_export_wh, e.grid_export_wh, x.grid_export_wh) AS DOUBLE PRECISION) AS grid_export_wh,
        CAST(COALESCE(e.battery_charge_wh + x.battery_charge_wh, e.battery_charge_wh, x.battery_charge_wh) AS DOUBLE PRECISION) AS battery_charge_wh,
        CAST(COALESCE(e.battery_discharge_wh + x.battery_discharge_wh, e.battery_discharge_wh, x.battery_discharge_wh) AS DOUBLE PRECISION) AS battery_discharge_wh,
        CAST(COALESCE(MAX(e.peak_production_w, x.peak_production_w), e.peak_production_w, x.peak_production_w) AS DOUBLE PRECISION) AS peak_production_w,
        CAST(COALESCE(e.covered_s + x.covered_s, e.covered_s, x.covered_s) AS INTEGER) AS covered_s,
        CAST(COALESCE(e.bridged_wh + x.bridged_wh, e.bridged_wh, x.bridged_wh) AS DOUBLE PRECISION) AS bridged_wh,
        CAST(COALESCE(MAX(g.peak_power_kwp, y.peak_power_kwp), g.peak_power_kwp, y.peak_power_kwp) AS DOUBLE PRECISION) AS peak_power_kwp
    FROM gateways g
    JOIN energy_15min e ON e.gateway_id = g.gateway_id
    LEFT JOIN energy_15min x ON x.gateway_id = (SELECT MIN(o.gateway_id) FROM gateways o WHERE o.name IS g.name) AND x.starts_at = e.starts_at AND x.utc_offset_s IS e.utc_offset_s AND x.phase = 'total'
    LEFT JOIN gateways y ON y.gateway_id = x.gateway_id
    WHERE e.phase = 'total'
        AND g.gateway_id = (SELECT MAX(o.gateway_id) FROM gateways o GROUP BY o.name HAVING COUNT(*) = 2 ORDER BY MIN(o.gateway_id) LIMIT 1)
    UNION ALL
    SELECT
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
    FROM gateways g
    JOIN energy_15min e ON e.gateway_id = g.gateway_id
    WHERE e.phase = 'total'
        AND g.gateway_id = (SELECT MIN(o.gateway_id) FROM gateways o GROUP BY o.name HAVING COUNT(*) = 2 ORDER BY MIN(o.gateway_id) LIMIT 1)
        AND NOT EXISTS (SELECT x.gateway_id FROM energy_15min x WHERE x.gateway_id = (SELECT MAX(o.gateway_id) FROM gateways o WHERE o.name IS g.name) AND x.starts_at = e.starts_at AND x.utc_offset_s IS e.utc_offset_s AND x.phase = 'total')
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
            AND NOT EXISTS (SELECT f.gateway_id FROM gateways f WHERE f.gateway_id = (SELECT MIN(o.gateway_id) FROM gateways o GROUP BY o.name HAVING COUNT(*) = 2 ORDER BY MIN(o.gateway_id) LIMIT 1) AND f.name IS g.name)
        GROUP BY g.name, e.starts_at, e.utc_offset_s) several) e
