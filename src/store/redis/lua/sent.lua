-- Forgets messages that their receiver has applied.
--
-- ARGV[3] partition of the receiver  [4] number of the last one applied
-- RETURNS 0
local key = P .. 'o:' .. ARGV[3]
local length = call('LLEN', key)
local first = tonumber(call('HGET', P .. 'on', ARGV[3]) or 0) - length + 1
local count = math.min(tonumber(ARGV[4]) - first + 1, length)
if count > 0 then call('LTRIM', key, count, -1) end
if count >= length then call('SREM', P .. 'oq', ARGV[3]) end
return 0
