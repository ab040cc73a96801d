-- Ends a session in a partition: the tombstone first, then a slice of its leases is released.
--
-- ARGV[3] session  [4] list of the runs whose turn was being executed  [5] size of a slice  [6] losses at which an attempt fails
-- ARGV[7] how long an ended session is remembered, ms  [8] deaths at which a run is blocked  [9] why it is then
-- ARGV[10] up to so many deaths are counted of a turn that was leased and not seen in execution
-- RETURNS {turns, attempts, 1 when leases are left}
-- Keys beside those of the parts: x:<session> the leases of an ended session. s sessions, 0 while one is being ended.
-- dead ended sessions, scored by when.
local session, slice, losses_max, suspect_deaths = ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[10])
local leases, executing = P .. 'x:' .. session, {}
for _, run in ipairs(cmsgpack.unpack(ARGV[4])) do executing[run] = true end
local turns_back, attempts_back = 0, 0
alive[session] = false

if not call('ZSCORE', P .. 'dead', session) then
  call('ZADD', P .. 'dead', clock, session)
  call('ZREMRANGEBYSCORE', P .. 'dead', '-inf', clock - tonumber(ARGV[7]))
  call('DEL', P .. 'qh:' .. session)
  if call('EXISTS', P .. 'l:' .. session) == 1 then
    call('RENAME', P .. 'l:' .. session, leases)
    call('ZREM', leases, '')
    call('ZADD', P .. 's', 0, session)
  end
end

local function lose_turn(run, r)
  if r[PHASE] ~= LEASED or r[SESSION] ~= session then return end
  if executing[run] or r[DEATHS] < suspect_deaths then r[DEATHS] = r[DEATHS] + 1 end
  if r[HOLDER] == session then r[HOLDER] = '' end
  end_turn_lease(r)
  touch(run)
  if r[DEATHS] >= tonumber(ARGV[8]) then
    r[PHASE], r[WHY] = BLOCKED, ARGV[9]
    tell_change(run, r)
    return
  end
  make_ready(run, r)
  turns_back = turns_back + 1
end

local function lose_attempt(run, r, command)
  local a, place = find(run, r, command)
  if not a or a[STATE] ~= HELD or a[BY] ~= session then return end
  a[LOSSES] = a[LOSSES] + 1
  if a[LOSSES] >= losses_max then
    drop(run, r, a, place)
    local lost = '{"ActivityFailed":{"command":%d,"attempt":%d,"error":{"type":"WorkerLost","message":"the worker was lost %d times while it ran this activity"}}}'
    if mail(run, r, format(lost, command, a[ATTEMPT], a[LOSSES])) then make_ready(run, r) end
  else
    queue_attempt(run, r, a, place)
  end
  touch(run)
  attempts_back = attempts_back + 1
end

local page = call('ZRANGE', leases, 0, slice - 1)
for _, lease in ipairs(in_order(page)) do
  local kind, run = lease[1], lease[2]
  local r = load(run)
  if r and kind == 't' then lose_turn(run, r) end
  if r and kind == 'a' then lose_attempt(run, r, lease[3]) end
end
if #page > 0 then call('ZREMRANGEBYRANK', leases, 0, #page - 1) end
local left = call('EXISTS', leases)
if left == 0 then call('ZREM', P .. 's', session) end
finish_up()
return {turns_back, attempts_back, left}
