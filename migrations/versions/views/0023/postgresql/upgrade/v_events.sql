CREATE VIEW v_events AS
SELECT
    g.name AS gateway,
    e.at AT TIME ZONE 'UTC' + e.utc_offset_s * INTERVAL '1 second' AS at,
    e.kind,
    e.subject,
    e.detail
FROM (SELECT
        v.gateway_id,
        v.at,
        v.kind,
        v.subject,
        v.detail,
        v.utc_offset_s
    FROM events v
    UNION ALL
    SELECT
        v.gateway_id,
        v.at,
        v.kind,
        v.subject,
        v.detail,
        CAST(COALESCE(
            (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = v.gateway_id AND q.starts_at <= v.at ORDER BY q.starts_at DESC LIMIT 1),
            (SELECT q.utc_offset_s FROM energy_15min q WHERE q.gateway_id = v.gateway_id ORDER BY q.starts_at LIMIT 1),
            0) AS INTEGER) AS utc_offset_s
    FROM events v
    WHERE v.utc_offset_s IS NULL) e
LEFT JOIN (gateways g CROSS JOIN json_array_elements('[0]') AS once) ON g.gateway_id = e.gateway_id
WHERE e.utc_offset_s IS NOT NULL
