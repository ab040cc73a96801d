-- Begins to make a definition current: keeps it, and draws the number of its defining. What is begun and not ended is known by
-- its record in [4], so that the next one goes to all partitions, even if the store's own list says that nothing is new.
--
-- KEYS[1] definition of the version  [2] counter  [3] current records  [4] begun records  [5] idempotency keys of the workflow
-- ARGV[1] the caller's estimate of the store's clock, ms  [2] definition  [3] name  [4] version  [5] pool  [6] retention, ms
-- ARGV[7] idempotency key, empty for none
-- RETURNS {same, record} | {new, record}; a record is {name, version, pool, retention, generation, defined at}
local name, version, pool, retention, key = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]

local current = call('HGET', KEYS[3], name)
if current and not call('HGET', KEYS[4], name) then
  if key ~= '' and call('ZSCORE', KEYS[5], key) then return {'same', current} end
  local c = cmsgpack.unpack(current)
  if c[2] == version and c[3] == pool and c[4] == retention then return {'same', current} end
end
local clock = call('TIME')
clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
call('SET', KEYS[1], ARGV[2])
local record = cmsgpack.pack({name, version, pool, retention, call('INCR', KEYS[2]), math.min(tonumber(ARGV[1]), clock)})
call('HSET', KEYS[4], name, record)
return {'new', record}
