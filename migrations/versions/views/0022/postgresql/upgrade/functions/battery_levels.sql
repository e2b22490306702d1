CREATE FUNCTION battery_levels(
    of_gateway SMALLINT,
    since TIMESTAMP WITH TIME ZONE,
    until TIMESTAMP WITH TIME ZONE,
    OUT min_soc_pct DOUBLE PRECISION,
    OUT max_soc_pct DOUBLE PRECISION,
    OUT stored_wh DOUBLE PRECISION
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    look_from TIMESTAMP WITH TIME ZONE := since - INTERVAL '1 hour';
    known_wh DOUBLE PRECISION[];
    earlier INTEGER;
    of_kind TEXT := 'encharge';
    before_wh DOUBLE PRECISION;
BEGIN
    SELECT
        MIN(s.soc_pct) FILTER (WHERE s.polled_at >= since AND s.polled_at < until),
        MAX(s.soc_pct) FILTER (WHERE s.polled_at >= since AND s.polled_at < until),
        array_agg(s.energy_wh ORDER BY s.polled_at) FILTER (WHERE s.kind = 'encharge' AND s.energy_wh IS NOT NULL),
        COUNT(s.energy_wh) FILTER (WHERE s.kind = 'encharge' AND s.polled_at <= since)
    INTO min_soc_pct, max_soc_pct, known_wh, earlier
    FROM storage_samples s
    WHERE s.gateway_id = of_gateway AND s.polled_at >= look_from AND s.polled_at <= until;
    IF COALESCE(cardinality(known_wh), 0) = earlier THEN
        of_kind := 'acb';
        SELECT array_agg(s.energy_wh ORDER BY s.polled_at), COUNT(*) FILTER (WHERE s.polled_at <= since)
        INTO known_wh, earlier
        FROM storage_samples s
        WHERE s.gateway_id = of_gateway AND s.kind = of_kind AND s.energy_wh IS NOT NULL AND s.polled_at >= look_from AND s.polled_at <= until;
    END IF;
    IF COALESCE(cardinality(known_wh), 0) = earlier THEN
        RETURN;
    END IF;
    before_wh := known_wh[earlier];
    IF before_wh IS NULL THEN
        look_from := since - INTERVAL '1 month';
        SELECT s.energy_wh INTO before_wh FROM storage_samples s
        WHERE s.gateway_id = of_gateway AND s.kind = of_kind AND s.energy_wh IS NOT NULL AND s.polled_at > look_from AND s.polled_at <= since
        ORDER BY s.polled_at DESC LIMIT 1;
    END IF;
    IF before_wh IS NULL THEN
        PERFORM set_config('plan_cache_mode', 'auto', TRUE);
        SELECT s.energy_wh INTO before_wh FROM storage_samples s
        WHERE s.gateway_id = of_gateway AND s.kind = of_kind AND s.energy_wh IS NOT NULL AND s.polled_at <= since
        ORDER BY s.polled_at DESC LIMIT 1;
    END IF;
    stored_wh := known_wh[cardinality(known_wh)] - COALESCE(before_wh, known_wh[1]);
END
$$
