CREATE FUNCTION newest_powers(
    of_gateway SMALLINT,
    seen_at TIMESTAMP WITH TIME ZONE,
    OUT polled_at TIMESTAMP WITH TIME ZONE,
    OUT production_w DOUBLE PRECISION,
    OUT total_w DOUBLE PRECISION,
    OUT total_source TEXT,
    OUT net_w DOUBLE PRECISION,
    OUT storage_at TIMESTAMP WITH TIME ZONE,
    OUT storage_w DOUBLE PRECISION,
    OUT encharge_at TIMESTAMP WITH TIME ZONE,
    OUT encharge_w DOUBLE PRECISION,
    OUT encharge_soc_pct DOUBLE PRECISION,
    OUT acb_w DOUBLE PRECISION,
    OUT acb_soc_pct DOUBLE PRECISION
) RETURNS SETOF RECORD
LANGUAGE plpgsql STABLE STRICT ROWS 1 SECURITY DEFINER
AS $$
DECLARE
    since CONSTANT TIMESTAMP WITH TIME ZONE := seen_at - INTERVAL '2 days';
    newest_at TIMESTAMP WITH TIME ZONE;
BEGIN
    SELECT p.polled_at INTO newest_at FROM production_samples p
    WHERE p.gateway_id = of_gateway AND p.polled_at >= since
    ORDER BY p.polled_at DESC LIMIT 1;
    IF newest_at IS NULL THEN
        SELECT p.polled_at INTO newest_at FROM production_samples p
        WHERE p.gateway_id = of_gateway
        ORDER BY p.polled_at DESC LIMIT 1;
    END IF;
    RETURN QUERY SELECT p.polled_at, p.power_w, c.power_w, c.source, n.power_w, b.polled_at, b.power_w, iq.polled_at, iq.power_w, iq.soc_pct, ac.power_w, ac.soc_pct
    FROM production_samples p
    LEFT JOIN consumption_samples c ON c.gateway_id = of_gateway AND c.polled_at = newest_at AND c.phase = 'total' AND c.measurement = 'total-consumption'
    LEFT JOIN consumption_samples n ON n.gateway_id = of_gateway AND n.polled_at = newest_at AND n.phase = 'total' AND n.measurement = 'net-consumption'
    LEFT JOIN meter_readings b ON b.gateway_id = of_gateway AND b.polled_at = newest_at AND b.phase = 'total' AND b.measurement = 'storage'
    LEFT JOIN storage_samples iq ON iq.gateway_id = of_gateway AND iq.polled_at = newest_at AND iq.kind = 'encharge'
    LEFT JOIN storage_samples ac ON ac.gateway_id = of_gateway AND ac.polled_at = newest_at AND ac.kind = 'acb'
    WHERE p.gateway_id = of_gateway AND p.polled_at = newest_at AND p.phase = 'total';
END
$$
