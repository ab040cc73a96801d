-- Ends to make a definition current: all partitions have it, or a later one.
--
-- KEYS[1] current records  [2] begun records  [3] idempotency keys of the workflow
-- ARGV[1] name  [2] record  [3] idempotency key, empty for none
-- RETURNS the record that is current
local KEYS_KEPT, GENERATION = 16, 5
local name, record, key = ARGV[1], ARGV[2], ARGV[3]

local generation = cmsgpack.unpack(record)[GENERATION]
local current, begun = call('HGET', KEYS[1], name), call('HGET', KEYS[2], name)
if begun and cmsgpack.unpack(begun)[GENERATION] <= generation then call('HDEL', KEYS[2], name) end
if key ~= '' then
  call('ZADD', KEYS[3], generation, key)
  call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - KEYS_KEPT)
end
if current and cmsgpack.unpack(current)[GENERATION] >= generation then return current end
call('HSET', KEYS[1], name, record)
return record
