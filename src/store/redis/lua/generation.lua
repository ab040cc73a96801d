-- Begins to make a definition current, or to retire the one that is: keeps it, and draws the number of its defining. What is begun and
-- not ended is known by its record in [4], so that the next one goes to all partitions, even if the store's own list says that nothing
-- is new.
--
-- KEYS[1] definition of the version  [2] counter  [3] current records  [4] begun records  [5] idempotency keys of the workflow
-- ARGV[1] the caller's estimate of the store's clock, ms  [2] definition  [3] name  [4] version, empty to retire  [5] pool
-- ARGV[6] retention, ms  [7] idempotency key, empty for none  [8] holder, empty for people
-- RETURNS {same, record} | {new, record} | {held, record} | {missing}
-- A record is {name, version, pool, retention, generation, defined at, holder, retired}; without the last two when nobody holds it.
local name, version, pool, retention, key, holder = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local VERSION_OF, POOL_OF, RETENTION_OF, HOLDER_OF, RETIRED = 2, 3, 4, 7, 8

local current, begun = call('HGET', KEYS[3], name), call('HGET', KEYS[4], name)
-- Of one that was begun it is not known how far it came: it is in force somewhere, and said again everywhere.
local latest = begun or current
local is_retired, retires = false, version == ''
if latest then
  local c = cmsgpack.unpack(latest)
  local of = c[HOLDER_OF] or ''
  is_retired = c[RETIRED] or false
  if not begun and key ~= '' and call('ZSCORE', KEYS[5], key) then return {'same', current} end
  if retires and is_retired and not begun then return {'same', current} end
  if not is_retired and of ~= holder then return {'held', latest} end
  if retires then
    version, pool, retention, holder = c[VERSION_OF], c[POOL_OF], c[RETENTION_OF], ''
  elseif not begun and not is_retired and c[VERSION_OF] == version and c[POOL_OF] == pool and c[RETENTION_OF] == retention then
    return {'same', current}
  end
elseif retires then
  return {'missing'}
end
local clock = call('TIME')
clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
if not retires then call('SET', KEYS[1], ARGV[2]) end
local fields = {name, version, pool, retention, call('INCR', KEYS[2]), math.min(tonumber(ARGV[1]), clock)}
if holder ~= '' or retires then fields[HOLDER_OF], fields[RETIRED] = holder, retires end
local record = cmsgpack.pack(fields)
call('HSET', KEYS[4], name, record)
return {'new', record}
