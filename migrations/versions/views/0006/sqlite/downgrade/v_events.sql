CREATE VIEW v_events AS
SELECT
    g.name AS gateway,
    e.at,
    e.kind,
    e.subject,
    e.detail
FROM events e
JOIN gateways g ON g.gateway_id = e.gateway_id
