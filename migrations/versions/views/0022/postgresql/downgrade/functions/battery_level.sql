CREATE FUNCTION battery_level(of_gateway SMALLINT, until TIMESTAMP WITH TIME ZONE)
RETURNS DOUBLE PRECISION
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
AS $$
DECLARE
    look_from CONSTANT TIMESTAMP WITH TIME ZONE := until - INTERVAL '1 hour';
    found_pct DOUBLE PRECISION;
BEGIN
    SELECT s.soc_pct INTO found_pct FROM storage_samples s
    WHERE s.gateway_id = of_gateway AND s.soc_pct IS NOT NULL AND s.polled_at > look_from AND s.polled_at <= until
    ORDER BY s.polled_at DESC, s.kind DESC LIMIT 1;
    IF found_pct IS NULL THEN
        SELECT s.soc_pct INTO found_pct FROM storage_samples s
        WHERE s.gateway_id = of_gateway AND s.soc_pct IS NOT NULL AND s.polled_at <= until
        ORDER BY s.polled_at DESC, s.kind DESC LIMIT 1;
    END IF;
    RETURN found_pct;
END
$$
