-- What the panels of the dashboards ask. @chosen and @gateways are the gateways that were chosen; @time, @day, @epoch,
-- @within and @within_days are written as each engine has time (store/grafana.py). Grafana fills in $__from and $__to.

-- now: production
SELECT gateway, production_w AS value FROM v_power_now WHERE @chosen ORDER BY gateway

-- now: consumption
SELECT gateway, consumption_w AS value FROM v_power_now WHERE @chosen ORDER BY gateway

-- now: grid
SELECT gateway, grid_w AS value FROM v_power_now WHERE @chosen ORDER BY gateway

-- now: battery
SELECT gateway, battery_soc_pct AS value FROM v_power_now WHERE @chosen ORDER BY gateway

-- now: age
SELECT gateway, $__to / 1000 - @epoch(measured_at) AS value FROM v_power_now WHERE @chosen ORDER BY gateway

-- now: power
SELECT @time(s.polled_at) AS time, g.name || ' production' AS metric, s.power_w AS value
FROM production_samples s @gateways AND s.phase = 'total' AND @within(s.polled_at)
UNION ALL
SELECT @time(s.polled_at), g.name || ' consumption', s.power_w
FROM consumption_samples s @gateways AND s.measurement = 'total-consumption' AND s.phase = 'total'
 AND @within(s.polled_at)
UNION ALL
SELECT @time(s.polled_at), g.name || ' grid', s.power_w
FROM consumption_samples s @gateways AND s.measurement = 'net-consumption' AND s.phase = 'total'
 AND @within(s.polled_at)
UNION ALL
SELECT @time(s.polled_at), g.name || ' battery', s.power_w
FROM storage_samples s @gateways AND @within(s.polled_at)
ORDER BY 1

-- events
SELECT at, gateway, kind, subject, detail FROM v_events WHERE @chosen AND @within(at) ORDER BY at DESC, kind LIMIT 200

-- energy: production
SELECT gateway, SUM(production_kwh) AS value FROM v_energy_daily
WHERE @chosen AND @within_days(day) GROUP BY gateway ORDER BY gateway

-- energy: consumption
SELECT gateway, SUM(consumption_kwh) AS value FROM v_energy_daily
WHERE @chosen AND @within_days(day) GROUP BY gateway ORDER BY gateway

-- energy: import
SELECT gateway, SUM(grid_import_kwh) AS value FROM v_energy_daily
WHERE @chosen AND @within_days(day) GROUP BY gateway ORDER BY gateway

-- energy: export
SELECT gateway, SUM(grid_export_kwh) AS value FROM v_energy_daily
WHERE @chosen AND @within_days(day) GROUP BY gateway ORDER BY gateway

-- energy: self-sufficiency
SELECT gateway, CASE WHEN SUM(consumption_kwh) <= 0 THEN NULL WHEN SUM(consumption_kwh - grid_import_kwh) <= 0 THEN 0
 ELSE 100 * SUM(consumption_kwh - grid_import_kwh) / SUM(consumption_kwh) END AS value
FROM v_energy_daily WHERE @chosen AND @within_days(day) AND grid_import_kwh IS NOT NULL
GROUP BY gateway ORDER BY gateway

-- energy: went
SELECT substr(CAST(day AS VARCHAR), 1, 10) AS day, SUM(production_kwh - COALESCE(grid_export_kwh, 0)) AS own,
 SUM(grid_export_kwh) AS exported
FROM v_energy_daily WHERE @chosen AND @within_days(day) GROUP BY day ORDER BY day

-- energy: came
SELECT substr(CAST(day AS VARCHAR), 1, 10) AS day, SUM(consumption_kwh - grid_import_kwh) AS own,
 SUM(grid_import_kwh) AS imported
FROM v_energy_daily WHERE @chosen AND @within_days(day) GROUP BY day ORDER BY day

-- energy: quarters
SELECT @time(quarter_starts_at) AS time, gateway || ' production' AS metric, 4 * production_kwh AS value
FROM v_energy_15min WHERE @chosen AND @within(quarter_starts_at)
UNION ALL
SELECT @time(quarter_starts_at), gateway || ' consumption', 4 * consumption_kwh
FROM v_energy_15min WHERE @chosen AND @within(quarter_starts_at)
ORDER BY 1

-- energy: months
SELECT month, SUM(production_kwh) AS production, SUM(consumption_kwh) AS consumption
FROM v_energy_monthly WHERE @chosen GROUP BY month ORDER BY month

-- panels: shares
SELECT @day(day) AS time, COALESCE(name, serial) AS metric,
 100 * COALESCE(energy_kwh, 0) / peers_median_kwh AS value
FROM v_panels WHERE @chosen AND @within_days(day) AND peers_median_kwh > 0 ORDER BY day, COALESCE(name, serial)

-- panels: states
SELECT p.gateway, COALESCE(p.name, p.serial) AS panel, p.array, p.state, p.relative_pct, p.energy_kwh,
 p.peers_median_kwh, p.day
FROM v_panels p
JOIN (SELECT gateway, MAX(day) AS day FROM v_panels WHERE @chosen AND @within_days(day) GROUP BY gateway) newest
 ON newest.gateway = p.gateway AND newest.day = p.day
ORDER BY CASE WHEN p.state = 'fine' THEN 1 ELSE 0 END, p.relative_pct, p.serial

-- panels: energy
SELECT COALESCE(name, serial) AS panel, SUM(energy_kwh) AS energy FROM v_panels
WHERE @chosen AND @within_days(day) GROUP BY COALESCE(name, serial) ORDER BY COALESCE(name, serial)

-- quality: measured
SELECT g.name AS gateway, 100.0 * SUM(s.covered_s) / NULLIF(SUM(s.period_s), 0) AS value
FROM energy_daily s @gateways AND s.phase = 'total' AND @within_days(s.day) GROUP BY g.name ORDER BY g.name

-- quality: bridged
SELECT gateway, SUM(bridged_kwh) AS value FROM v_energy_daily
WHERE @chosen AND @within_days(day) GROUP BY gateway ORDER BY gateway

-- quality: failed
SELECT g.name AS gateway, SUM(CASE WHEN s.outcome = 'failed' THEN 1 ELSE 0 END) AS value
FROM polls s @gateways AND @within(s.polled_at) GROUP BY g.name ORDER BY g.name

-- quality: coverage
SELECT substr(CAST(day AS VARCHAR), 1, 10) AS day, MIN(coverage_pct) AS coverage
FROM v_energy_daily WHERE @chosen AND @within_days(day) GROUP BY day ORDER BY day

-- quality: polls
SELECT substr(CAST(s.polled_at AS VARCHAR), 1, 10) AS day,
 SUM(CASE WHEN s.outcome = 'failed' THEN 1 ELSE 0 END) AS failed,
 SUM(CASE WHEN s.outcome = 'partial' THEN 1 ELSE 0 END) AS partial
FROM polls s @gateways AND @within(s.polled_at) GROUP BY substr(CAST(s.polled_at AS VARCHAR), 1, 10) ORDER BY 1

-- quality: gaps
SELECT gateway, starts_at, ends_at, missing_s FROM v_gaps
WHERE @chosen AND @within(starts_at) ORDER BY starts_at DESC LIMIT 200
