-- Keeps a definition and draws the number of its defining.
--
-- KEYS[1] definition of the version  [2] counter
-- ARGV[1] the caller's estimate of the store's clock, ms  [2] definition
-- RETURNS {generation, now}
local clock = redis.call('TIME')
clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('SET', KEYS[1], ARGV[2])
return {redis.call('INCR', KEYS[2]), math.min(tonumber(ARGV[1]), clock)}
