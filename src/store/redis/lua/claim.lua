-- Leases waiting turns and attempts of a pool to a session.
--
-- ARGV[3] session  [4] pool  [5] number of the request  [6] turns wanted  [7] attempts wanted  [8] 1: hand out again
-- RETURNS {granted, grants, 1 when more is ready, ms from which something is ready for anyone or 0} | {lost}
-- One answer holds about ANSWER_BYTES_MAX; what does not fit is `more`.
local session, pool, seq, again = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[8] == '1'
local want_turns, want_attempts = tonumber(ARGV[6]), tonumber(ARGV[7])
local ready, hints, queue = P .. 'qt:' .. pool, P .. 'qh:' .. session, P .. 'qa:pool:' .. pool
local size = 0

if not is_alive(session) then return {'lost'} end

if again then
  for _, member in ipairs(call('ZRANGE', P .. 'l:' .. session, 0, -1)) do
    local kind, run, command = match(member, '^(.)|([^#]*)#?(.*)$')
    local r = kind and load(run)
    if r and kind == 't' and r[PHASE] == LEASED and r[SESSION] == session and r[SEQ] == seq then
      size = size + hand_out_turn(run, r)
    elseif r and kind == 'a' then
      local a = find(run, r, tonumber(command))
      if a and a[STATE] == HELD and a[BY] == session and a[BY_SEQ] == seq then size = size + hand_out_attempt(run, r, a) end
    end
  end
end

local function take(run)
  local r, newer = load(run)
  if newer then return false end
  if r and r[PHASE] == READY and r[POOL] == pool then
    size = size + grant_turn(run, r, session, seq)
    touch(run)
  end
  call('ZREM', ready, run)
  return true
end

-- First the runs that prefer this session.
while #turns < want_turns and size < ANSWER_BYTES_MAX do
  local run = call('LPOP', hints)
  if not run then break end
  local r = load(run)
  if r and r[PHASE] == READY and r[POOL] == pool then take(run) end
end

-- Then those that anyone may claim. What a newer program wrote is passed over.
local passed = 0
while #turns < want_turns and size < ANSWER_BYTES_MAX do
  local page = call('ZRANGEBYSCORE', ready, '-inf', now, 'LIMIT', passed, math.min(want_turns - #turns, 32))
  if #page == 0 then break end
  for i = 1, #page do
    if size >= ANSWER_BYTES_MAX then break end
    if not take(page[i]) then passed = passed + 1 end
  end
end

-- Attempts: a member that no longer stands for a queued attempt is dropped here.
local left = call('LLEN', queue)
while #attempts < want_attempts and size < ANSWER_BYTES_MAX and left > 0 do
  local member = call('LPOP', queue)
  left = left - 1
  local run, command = match(member, '^([^#]*)#(%d+)#')
  local r, newer = load(run)
  local a, place
  if r then a, place = find(run, r, tonumber(command)) end
  if newer then
    call('RPUSH', queue, member)
  elseif a and a[STATE] == QUEUED and a[QUEUE] == '' and r[POOL] == pool then
    size = size + grant_attempt(run, r, a, place, session, seq)
    touch(run)
  end
end

local first = call('ZRANGE', ready, passed, passed, 'WITHSCORES')
local next_at = tonumber(first[2]) or 0
local more = left > 0 or (next_at > 0 and next_at <= now)
if next_at > 0 and next_at <= now then
  local later = call('ZRANGEBYSCORE', ready, format('(%d', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  next_at = tonumber(later[2]) or 0
end
finish_up()
return {'granted', grants(), more and 1 or 0, next_at}
