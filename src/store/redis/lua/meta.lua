-- Creates the store when there is none, and reads what it is.
--
-- KEYS[1] the hash of it
-- ARGV[1] format  [2] id of a new store  [3] its partitions
-- RETURNS {format, id, partitions, 1 when open runs are counted}
local key = KEYS[1]
if call('EXISTS', key) == 0 then
  call('HSET', key, 'format', ARGV[1], 'id', ARGV[2], 'partitions', ARGV[3], 'created', call('TIME')[1] * 1000, 'open', 1)
end
local meta = call('HMGET', key, 'format', 'id', 'partitions', 'open')
meta[4] = meta[4] and 1 or 0
return meta
