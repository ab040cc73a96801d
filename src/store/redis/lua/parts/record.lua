-- Part of every operation on runs: the time, the keys of the partition, records and the attempts in them.
--
-- KEYS[1] the partition's prefix `{e<P>}:`. Every key of a call is made from it, so all of them carry its hash tag.
-- ARGV[1] the caller's estimate of the store's clock, ms
-- ARGV[2] the channel of wakes
-- Keys: r:<run> record, a:<run> the attempts beyond INLINE_MAX. A run is `<namespace>/<id>`: never a `#`, a `|` or a brace.
-- Records have the layout of `machine::record`, and are tables here: the constants below are the places of their fields.
local call, pack, unpack_fields, match, format -- what a server gives to a call only, not to a library that is loaded
local KEYS, ARGV, P, WAKES -- of this call
local RECORD_FORMAT, ORIGIN_SINCE, INLINE_MAX = 3, 2, 8

local RUN_LAYOUT = {
  '<BBBBBI4I8I8I8I8I8I8I8I4I4I4I4I4c16c36c64Bc0Bc0Bc0Bc0Bc0I4c0',
  '<BBBBBI4I8I8I8I8I8I8I8I4I4I4I4I4c16c36c64Bc0Bc0Bc0Bc0Bc0I4c0', -- and ORIGIN_LAYOUT, as in all that follow
  '<BBBBBI4I4I8I4I6I6I8I8I4I4I4I3I3c16c16c32Bc0Bc0Bc0Bc0Bc0I4c0', -- uid, version and the input's hash are bytes
} -- by format
local FORMAT, PHASE, MAIL_CANCEL, DEATHS, CLOSED_AS, INLINE, EPOCH, SEQ, JOURNAL_BYTES, AT, STARTED_AT, CLOSED_AT, RETENTION =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
local TURNS, MAIL, NEXT_COMMAND, TIMERS, BESIDE, HEAD, UID, VERSION = 14, 15, 16, 17, 18, 19, 20, 21
local SESSION, HOLDER, WORKFLOW, POOL, INPUT_HASH, WHY, ATTEMPTS = 22, 23, 24, 25, 26, 27, 28
local ORIGIN, ORIGIN_LAYOUT = 29, '<Bc0' -- after WHY
local WAITING, READY, LEASED, BLOCKED, CLOSED = 0, 1, 2, 3, 4

local ATTEMPT_LAYOUT = '<BI4I4I4I4I8I8I8I8I8I8I8Bc0Bc0I2c0'
local STATE, COMMAND, ATTEMPT, TURN, LOSSES, BY_SEQ, SCHEDULED_AT, BEGUN_AT, TIMEOUT, HEARTBEAT, START_BY, CLOSE_BY =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
local BY, QUEUE, LAST_ERROR = 13, 14, 15
local QUEUED, HELD, BACKING_OFF = 0, 1, 2

-- Uid and version of a run as everybody else writes them: it has them as they stand in its record.
local uid_of, version_of
do
  local BYTES_SINCE = 3 -- before, they were digits there too
  local FOUR = '%02x%02x%02x%02x'
  local UID_DIGITS = FOUR .. '-%02x%02x-%02x%02x-%02x%02x-%02x%02x' .. FOUR
  local VERSION_DIGITS = FOUR .. FOUR .. FOUR .. FOUR .. FOUR .. FOUR .. FOUR .. FOUR

  function uid_of(r)
    if r[FORMAT] < BYTES_SINCE then return r[UID] end
    return format(UID_DIGITS, string.byte(r[UID], 1, 16))
  end

  function version_of(r)
    if r[FORMAT] < BYTES_SINCE then return r[VERSION] end
    return format(VERSION_DIGITS, string.byte(r[VERSION], 1, 32))
  end
end

local function pack_attempt(a)
  return pack(ATTEMPT_LAYOUT, a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12],
    #a[BY], a[BY], #a[QUEUE], a[QUEUE], #a[LAST_ERROR], a[LAST_ERROR])
end

-- The attempt that stands at a place of a text, and the place after it: the last of its fields, where it does no harm.
local function unpack_attempt(raw, place)
  local a = {unpack_fields(ATTEMPT_LAYOUT, raw, place)}
  return a, a[#a]
end

local function pack_run(r)
  local list = r[ATTEMPTS]
  local raw = pack(RUN_LAYOUT[r[FORMAT]], r[1], r[2], r[3], r[4], r[5], #list, r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15], r[16],
    r[17], r[18], r[19], r[20], r[21], #r[SESSION], r[SESSION], #r[HOLDER], r[HOLDER], #r[WORKFLOW], r[WORKFLOW], #r[POOL], r[POOL],
    #r[INPUT_HASH], r[INPUT_HASH], #r[WHY], r[WHY])
  if r[FORMAT] >= ORIGIN_SINCE then raw = raw .. pack(ORIGIN_LAYOUT, #r[ORIGIN], r[ORIGIN]) end
  if #list == 0 then return raw end
  if #list == 1 then return raw .. pack_attempt(list[1]) end
  local texts = {raw}
  for i = 1, #list do texts[i + 1] = pack_attempt(list[i]) end
  return table.concat(texts)
end

local function unpack_run(raw)
  local r = {unpack_fields(RUN_LAYOUT[string.byte(raw)], raw)}
  local place, list = r[ATTEMPTS], {}
  r[ORIGIN] = ''
  if r[FORMAT] >= ORIGIN_SINCE then r[ORIGIN], place = unpack_fields(ORIGIN_LAYOUT, raw, place) end
  for i = 1, r[INLINE] do list[i], place = unpack_attempt(raw, place) end
  r[ATTEMPTS] = list
  return r
end

local clock, now -- the clock of the server, and the time of this call: never ahead of it
local runs, changed, bytes

local function begin_time()
  clock = call('TIME')
  clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
  now = math.min(tonumber(ARGV[1]), clock)
end

local function begin_records()
  begin_time()
  runs, changed, bytes = {}, {}, {}
end

-- The run's record; false when there is none. Of a record that a newer program wrote: false, true.
local function load(run)
  local r = runs[run]
  if r == nil then
    local raw = call('GET', P .. 'r:' .. run)
    if raw and string.byte(raw) > RECORD_FORMAT then return false, true end
    r = raw and unpack_run(raw) or false
    runs[run] = r
  end
  return r
end

-- The same for the one run of an operation, before its first write.
local function load_one(run)
  local r, newer = load(run)
  if newer then error('the record of ' .. run .. ' was written by a newer everloop') end
  return r
end

local function touch(run) changed[#changed + 1] = run end

local function save()
  for i = 1, #changed do
    local run = changed[i]
    if not bytes[run] then
      local packed = pack_run(runs[run])
      bytes[run] = packed
      call('SET', P .. 'r:' .. run, packed)
    end
  end
end

-- The attempt of a command and its place in the record; without a place it stands beside it.
local function find(run, r, command)
  local list = r[ATTEMPTS]
  for i = 1, #list do
    if list[i][COMMAND] == command then return list[i], i end
  end
  if r[BESIDE] > 0 then
    local raw = call('HGET', P .. 'a:' .. run, command)
    if raw then return (unpack_attempt(raw)), nil end
  end
end

-- A place for a new attempt.
local function add(r, a)
  local list = r[ATTEMPTS]
  if #list < INLINE_MAX then
    list[#list + 1] = a
    return #list
  end
  r[BESIDE] = r[BESIDE] + 1
end

-- Its text, when it was written.
local function put(run, a, place)
  if place then return end
  local packed = pack_attempt(a)
  call('HSET', P .. 'a:' .. run, a[COMMAND], packed)
  return packed
end

local function drop(run, r, a, place)
  if place then
    table.remove(r[ATTEMPTS], place)
  else
    call('HDEL', P .. 'a:' .. run, a[COMMAND])
    r[BESIDE] = r[BESIDE] - 1
  end
end

-- All attempts: those of the record, then those beside it.
local function all_attempts(run, r)
  local list = {}
  for i = 1, #r[ATTEMPTS] do list[i] = r[ATTEMPTS][i] end
  if r[BESIDE] > 0 then
    for _, raw in ipairs(call('HVALS', P .. 'a:' .. run)) do list[#list + 1] = unpack_attempt(raw) end
  end
  return list
end

