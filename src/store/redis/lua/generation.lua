-- Keeps a definition and draws the number of its defining.
--
-- KEYS[1] definition of the version  [2] counter
-- ARGV[1] the caller's estimate of the store's clock, ms  [2] definition
-- RETURNS {generation, now}
local clock = call('TIME')
clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
call('SET', KEYS[1], ARGV[2])
return {call('INCR', KEYS[2]), math.min(tonumber(ARGV[1]), clock)}
