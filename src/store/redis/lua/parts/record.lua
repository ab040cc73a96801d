-- Part of every operation on runs: the time, the keys of the partition, records and the attempts in them.
--
-- KEYS[1] the partition's prefix `{e<P>}:`. Every key of a call is made from it, so all of them carry its hash tag.
-- ARGV[1] the caller's estimate of the store's clock, ms
-- ARGV[2] the channel of wakes
-- Keys: r:<run> record, a:<run> the attempts beyond INLINE_MAX. A run is `<namespace>/<id>`: never a `#`, a `|` or a brace.
-- Records are the MessagePack arrays of `machine::record`; the numbers below are the places of their fields.
local call, pack, parse, match, format -- what a server gives to a call only, not to a library that is loaded
local KEYS, ARGV, P, WAKES -- of this call
local RECORD_FORMAT, INLINE_MAX = 1, 8

local FORMAT, UID, WORKFLOW, VERSION, POOL, PHASE, HEAD, EPOCH, SESSION, SEQ = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local HOLDER, TURNS, JOURNAL_BYTES, AT, STARTED_AT, MAIL, MAIL_CANCEL, NEXT_COMMAND = 11, 12, 13, 14, 15, 16, 17, 18
local TIMERS, DEATHS, INPUT_HASH, WHY, CLOSED_AS, CLOSED_AT, RETENTION, ATTEMPTS, BESIDE = 19, 20, 21, 22, 23, 24, 25, 26, 27
local WAITING, READY, LEASED, BLOCKED, CLOSED = 0, 1, 2, 3, 4

local COMMAND, STATE, ATTEMPT, TURN, LOSSES, BY, BY_SEQ = 1, 2, 3, 4, 5, 6, 7
local SCHEDULED_AT, BEGUN_AT, QUEUE, TIMEOUT, HEARTBEAT, LAST_ERROR = 8, 9, 10, 11, 12, 13
local QUEUED, HELD, BACKING_OFF = 0, 1, 2

local clock, now -- the clock of the server, and the time of this call: never ahead of it
local runs, changed, bytes

local function begin_records()
  clock = call('TIME')
  clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
  now = math.min(tonumber(ARGV[1]), clock)
  runs, changed, bytes = {}, {}, {}
end

-- The run's record; false when there is none. Of a record that a newer program wrote: false, true.
local function load(run)
  local r = runs[run]
  if r == nil then
    local raw = call('GET', P .. 'r:' .. run)
    r = raw and parse(raw) or false
    runs[run] = r
  end
  if r and r[FORMAT] > RECORD_FORMAT then return false, true end
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
      local packed = pack(runs[run])
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
    if raw then return parse(raw), nil end
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

local function put(run, a, place)
  if not place then call('HSET', P .. 'a:' .. run, a[COMMAND], pack(a)) end
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
    for _, raw in ipairs(call('HVALS', P .. 'a:' .. run)) do list[#list + 1] = parse(raw) end
  end
  return list
end

