CREATE FUNCTION battery_levels(
    of_gateway SMALLINT,
    since TIMESTAMP WITH TIME ZONE,
    until TIMESTAMP WITH TIME ZONE,
    OUT min_soc_pct DOUBLE PRECISION,
    OUT max_soc_pct DOUBLE PRECISION,
    OUT stored_wh DOUBLE PRECISION
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
AS $$
DECLARE
    l RECORD;
    before_wh DOUBLE PRECISION;
    of_kind TEXT;
    look_from CONSTANT TIMESTAMP WITH TIME ZONE := since - INTERVAL '1 hour';
BEGIN
    SELECT
        MIN(s.soc_pct) FILTER (WHERE s.polled_at >= since AND s.polled_at < until) AS min_soc_pct,
        MAX(s.soc_pct) FILTER (WHERE s.polled_at >= since AND s.polled_at < until) AS max_soc_pct,
        (array_agg(s.energy_wh ORDER BY s.polled_at) FILTER (WHERE s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at > since))[1] AS encharge_first_wh,
        (array_agg(s.energy_wh ORDER BY s.polled_at DESC) FILTER (WHERE s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at > since))[1] AS encharge_last_wh,
        (array_agg(s.energy_wh ORDER BY s.polled_at DESC) FILTER (WHERE s.kind = 'encharge' AND s.energy_wh IS NOT NULL AND s.polled_at <= since))[1] AS encharge_before_wh,
        (array_agg(s.energy_wh ORDER BY s.polled_at) FILTER (WHERE s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at > since))[1] AS acb_first_wh,
        (array_agg(s.energy_wh ORDER BY s.polled_at DESC) FILTER (WHERE s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at > since))[1] AS acb_last_wh,
        (array_agg(s.energy_wh ORDER BY s.polled_at DESC) FILTER (WHERE s.kind = 'acb' AND s.energy_wh IS NOT NULL AND s.polled_at <= since))[1] AS acb_before_wh
    INTO l
    FROM storage_samples s
    WHERE s.gateway_id = of_gateway AND s.polled_at >= look_from AND s.polled_at <= until;
    min_soc_pct := l.min_soc_pct;
    max_soc_pct := l.max_soc_pct;
    of_kind := CASE WHEN l.encharge_last_wh IS NOT NULL THEN 'encharge' WHEN l.acb_last_wh IS NOT NULL THEN 'acb' END;
    IF of_kind IS NOT NULL THEN
        before_wh := CASE of_kind WHEN 'encharge' THEN l.encharge_before_wh ELSE l.acb_before_wh END;
        IF before_wh IS NULL THEN
            SELECT s.energy_wh INTO before_wh FROM storage_samples s
            WHERE s.gateway_id = of_gateway AND s.kind = of_kind AND s.energy_wh IS NOT NULL AND s.polled_at <= since
            ORDER BY s.polled_at DESC LIMIT 1;
        END IF;
        stored_wh := COALESCE(l.encharge_last_wh, l.acb_last_wh) - COALESCE(before_wh, l.encharge_first_wh, l.acb_first_wh);
    END IF;
END
$$
