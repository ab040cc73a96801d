-- Makes a workflow record current in a partition, unless a later one is.
--
-- KEYS[1] hash of workflow records  [2] set of pools' names
-- ARGV[1] field  [2] record: {name, version, pool, retention, generation, defined at}
-- RETURNS the record that is current
local GENERATION, POOL = 5, 3
local new = cmsgpack.unpack(ARGV[2])
local old = call('HGET', KEYS[1], ARGV[1])
if old and cmsgpack.unpack(old)[GENERATION] >= new[GENERATION] then return old end
call('HSET', KEYS[1], ARGV[1], ARGV[2])
call('SADD', KEYS[2], new[POOL])
return ARGV[2]
