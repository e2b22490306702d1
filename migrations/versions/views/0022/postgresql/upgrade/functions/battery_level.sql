CREATE FUNCTION battery_level(of_gateway SMALLINT, until TIMESTAMP WITH TIME ZONE)
RETURNS DOUBLE PRECISION
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    reach INTERVAL;
    look_from TIMESTAMP WITH TIME ZONE;
    found_pct DOUBLE PRECISION;
BEGIN
    FOREACH reach IN ARRAY ARRAY[INTERVAL '1 hour', INTERVAL '1 month'] LOOP
        look_from := until - reach;
        SELECT s.soc_pct INTO found_pct FROM storage_samples s
        WHERE s.gateway_id = of_gateway AND s.soc_pct IS NOT NULL AND s.polled_at > look_from AND s.polled_at <= until
        ORDER BY s.polled_at DESC, s.kind DESC LIMIT 1;
        IF found_pct IS NOT NULL THEN
            RETURN found_pct;
        END IF;
    END LOOP;
    PERFORM set_config('plan_cache_mode', 'auto', TRUE);
    SELECT s.soc_pct INTO found_pct FROM storage_samples s
    WHERE s.gateway_id = of_gateway AND s.soc_pct IS NOT NULL AND s.polled_at <= until
    ORDER BY s.polled_at DESC, s.kind DESC LIMIT 1;
    RETURN found_pct;
END
$$
