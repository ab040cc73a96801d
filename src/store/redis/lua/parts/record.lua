-- Part of every operation on runs: records and the attempts in them.
--
-- Keys: r:<run> record, a:<run> the attempts beyond INLINE_MAX. A run is `<namespace>/<id>`: never a `#`, a `|` or a brace.
-- Records have the layout of `machine::record`, and are tables here: the constants below are the places of their fields.
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

local runs, changed, bytes

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

-- Attempts beside the record: what is known of them and what is written is kept here, until the operation ends or reads all of them.
local begin_beside, look_beside, text_beside, set_beside, write_beside
do
  local texts -- by run and command; false: it is not there
  local changes, changed_runs -- the commands that are to be written, by run, and the runs of these in order

  function begin_beside() texts, changes, changed_runs = {}, {}, {} end

  -- Reads what is not known of these commands, in one go.
  function look_beside(run, r, commands)
    if r[BESIDE] == 0 then return end
    local known, unknown = texts[run] or {}, {}
    texts[run] = known
    for i = 1, #commands do
      if known[commands[i]] == nil then unknown[#unknown + 1] = commands[i] end
    end
    if #unknown == 0 then return end
    local found = call('HMGET', P .. 'a:' .. run, unpack(unknown))
    for i = 1, #unknown do known[unknown[i]] = found[i] end
  end

  -- After it was looked at.
  function text_beside(run, command) return texts[run][command] end

  -- False: it goes.
  function set_beside(run, command, text)
    texts[run] = texts[run] or {}
    texts[run][command] = text
    if not changes[run] then
      changes[run], changed_runs[#changed_runs + 1] = {}, run
    end
    changes[run][command] = true
  end

  local function write_beside_of(run)
    local set, gone = {}, {}
    for command in pairs(changes[run] or {}) do
      local text = texts[run][command]
      if text then
        set[#set + 1], set[#set + 2] = command, text
      else
        gone[#gone + 1] = command
      end
    end
    call_many('HSET', P .. 'a:' .. run, set, 1)
    call_many('HDEL', P .. 'a:' .. run, gone, 1)
    changes[run] = nil
  end

  -- Those of a run, or of all.
  function write_beside(run)
    if run then return write_beside_of(run) end
    for i = 1, #changed_runs do write_beside_of(changed_runs[i]) end
  end
end

local function begin_records()
  begin_time()
  begin_writes()
  begin_beside()
  runs, changed, bytes = {}, {}, {}
end

local function save()
  local records = {}
  for i = 1, #changed do
    local run = changed[i]
    if not bytes[run] then
      local packed = pack_run(runs[run])
      bytes[run] = packed
      records[#records + 1], records[#records + 2] = P .. 'r:' .. run, packed
    end
  end
  for first = 1, #records, ARGUMENTS_MAX do call('MSET', unpack(records, first, math.min(first + ARGUMENTS_MAX - 1, #records))) end
  write_beside()
end

-- The attempt of a command and its place in the record; without a place it stands beside it.
local function find(run, r, command)
  local list = r[ATTEMPTS]
  for i = 1, #list do
    if list[i][COMMAND] == command then return list[i], i end
  end
  if r[BESIDE] > 0 then
    look_beside(run, r, {command})
    local raw = text_beside(run, command)
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
  set_beside(run, a[COMMAND], packed)
  return packed
end

local function drop(run, r, a, place)
  if place then
    table.remove(r[ATTEMPTS], place)
  else
    set_beside(run, a[COMMAND], false)
    r[BESIDE] = r[BESIDE] - 1
  end
end

-- All attempts: those of the record, then those beside it.
local function all_attempts(run, r)
  local list = {}
  for i = 1, #r[ATTEMPTS] do list[i] = r[ATTEMPTS][i] end
  if r[BESIDE] > 0 then
    write_beside(run)
    for _, raw in ipairs(call('HVALS', P .. 'a:' .. run)) do list[#list + 1] = unpack_attempt(raw) end
  end
  return list
end

