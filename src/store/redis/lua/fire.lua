-- Fires a slice of what is due: timers into mailboxes, attempts after their back-off into queues; hands out attempts past a
-- time-out, again every few seconds until somebody finishes them.
--
-- ARGV[3] size of a slice  [4] offer
-- RETURNS {timers, retries, {{run, version, attempt}...}, grants, 1 when more is due, ms of the next due or 0, clock}
local slice = tonumber(ARGV[3])
local AGAIN_MS = 5000
local timers, retries, late, waiting = 0, 0, {}, {}
take_offer(ARGV[4])

-- Timers and back-offs. What a newer program wrote is left for one of its kind.
local due, gone = call('ZRANGEBYSCORE', P .. 'd', '-inf', now, 'LIMIT', 0, slice), {}
for _, member in ipairs(due) do
  local kind, run, command, tail = match(member, '^(.)|([^#]*)#(%d+)#?(.*)$')
  local r, newer = load(run)
  if newer then
    call('ZADD', P .. 'd', now + AGAIN_MS, member)
  else
    gone[#gone + 1] = member
    if not r or r[PHASE] == CLOSED then
      -- The run has ended without it.
    elseif kind == 'R' then
      local a, place = find(run, r, tonumber(command))
      if a and a[STATE] == BACKING_OFF then
        a[ATTEMPT] = a[ATTEMPT] + 1
        queue_attempt(run, r, a, place)
        touch(run)
        retries = retries + 1
      end
    elseif tail == string.sub(uid_of(r), -12) then
      r[TIMERS] = math.max(r[TIMERS] - 1, 0)
      if mail(run, r, format('{"TimerFired":{"command":%d}}', tonumber(command))) and not waiting[run] then
        waiting[run] = true
        waiting[#waiting + 1] = run
      end
      touch(run)
      timers = timers + 1
    end
  end
end
if #gone > 0 then call('ZREM', P .. 'd', unpack(gone)) end
local function hand_out_late(run, r, a) late[#late + 1] = {run, r[VERSION], pack_attempt(a)} end

-- Attempts that nobody has and that are to be given up.
local given_up = call('ZRANGEBYSCORE', P .. 'g', '-inf', now, 'LIMIT', 0, slice)
for _, member in ipairs(given_up) do
  local run, command = match(member, '^([^#]*)#(%d+)$')
  local r, newer = load(run)
  local a = r and find(run, r, tonumber(command))
  if newer or (a and a[STATE] ~= HELD) then
    call('ZADD', P .. 'g', now + AGAIN_MS, member)
    if a then hand_out_late(run, r, a) end
  else
    call('ZREM', P .. 'g', member)
  end
end

-- The first of a sorted set that is not a session's own deadline or a turn's lease.
local function first_of(key)
  local head = call('ZRANGE', key, 0, 1, 'WITHSCORES')
  local at = tonumber(head[head[1] == '' and 4 or 2])
  if at and at < FAR then return at end
end

local next_due = nil
local function sooner(at)
  if at and (not next_due or at < next_due) then next_due = at end
end
local function first_score(key) sooner(tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])) end

-- Leased attempts past their deadline.
local sessions = call('ZRANGE', P .. 's', 0, -1)
sessions[#sessions + 1] = EXTERNAL
local passed = {}
for _, session in ipairs(sessions) do
  local leases = P .. 'l:' .. session
  local at = first_of(leases)
  if at and at <= now and #passed < slice then
    local list = call('ZRANGEBYSCORE', leases, '-inf', now, 'WITHSCORES', 'LIMIT', 0, slice)
    for i = 1, #list, 2 do
      local run, command = match(list[i], '^a|([^#]*)#(%d+)$')
      if run then
        passed[#passed + 1] = {tonumber(list[i + 1]), run, tonumber(command), session}
        call('ZADD', leases, now + AGAIN_MS, list[i])
      end
    end
    at = first_of(leases)
  end
  sooner(at)
end
table.sort(passed, function(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  if a[2] ~= b[2] then return a[2] < b[2] end
  return a[3] < b[3]
end)
for _, lease in ipairs(passed) do
  local run, r = lease[2], load(lease[2])
  local a = r and find(run, r, lease[3])
  if a and a[STATE] == HELD and a[BY] == lease[4] then hand_out_late(run, r, a) end
end
-- After all of them: a grant carries what fired together.
for i = 1, #waiting do make_ready(waiting[i], runs[waiting[i]]) end
first_score(P .. 'd')
first_score(P .. 'g')
finish_up()
return {timers, retries, late, grants(), (next_due and next_due <= now) and 1 or 0, next_due or 0, clock}
