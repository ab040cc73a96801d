-- Sessions whose deadline has passed, and those whose end was begun and not finished.
--
-- ARGV[3] size of a slice
-- RETURNS their names
return call('ZRANGEBYSCORE', P .. 's', '-inf', now, 'LIMIT', 0, ARGV[3])
