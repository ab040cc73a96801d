-- Leases waiting turns and attempts of a pool to a session.
--
-- ARGV[3] session  [4] pool  [5] number of the request  [6] turns wanted  [7] attempts wanted
-- ARGV[8] 1: hand out again what this request was granted
-- RETURNS {granted, grants, 1 when more is ready, ms from which something is ready for anyone or 0} | {lost}
-- One answer holds about ANSWER_BYTES_MAX; what does not fit is `more`.
local session, pool, seq, again = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[8] == '1'
local want_turns, want_attempts = tonumber(ARGV[6]), tonumber(ARGV[7])
local ready, hints = P .. 'qt:' .. pool, P .. 'qh:' .. session
local size, more, next_at = 0, false, 0

if not is_alive(session) then return {'lost'} end

if again then -- what does not fit in the answer is unknown to the session, and it will hand that back
  for _, lease in ipairs(in_order(call('ZRANGE', P .. 'l:' .. session, 0, -1))) do
    local kind, run = lease[1], lease[2]
    local r = load(run)
    if r and kind == 't' and r[PHASE] == LEASED and r[SESSION] == session and r[SEQ] == seq and size < ANSWER_BYTES_MAX then
      size = size + hand_out_turn(run, r)
    elseif r and kind == 'a' then
      local a = find(run, r, lease[3])
      local is_it = a and a[STATE] == HELD and a[BY] == session and a[BY_SEQ] == seq
      if is_it and size < ANSWER_BYTES_MAX then size = size + hand_out_attempt(run, r, a) end
    end
  end
end

-- Takes the ready runs of a range in their order. What is not ready any more is dropped, what a newer program wrote is passed
-- over. True when one is left that this session may have.
local function take(key, from, to)
  local passed = 0
  while true do
    local page = call('ZRANGEBYSCORE', key, from, to, 'LIMIT', passed, 32)
    if #page == 0 then return false end
    local gone, granted, is_full = {}, {}, false
    for i = 1, #page do
      local run = page[i]
      local r, newer = load(run)
      local fits = r and r[PHASE] == READY and r[POOL] == pool and (key == ready or r[HOLDER] == session)
      if newer then
        passed = passed + 1
      elseif fits and (#turns >= want_turns or size >= ANSWER_BYTES_MAX) then
        is_full = true
        break
      else
        if fits then
          size = size + grant_turn(run, r, session, seq)
          touch(run)
          granted[#granted + 1] = run
        end
        gone[#gone + 1] = run
      end
    end
    call_many('ZREM', key, gone, 1)
    if key ~= ready then call_many('ZREM', ready, granted, 1) end
    if is_full then return true end
  end
end

-- First what anyone may claim, then what prefers this session.
call('ZREMRANGEBYSCORE', hints, '-inf', now)
local ripe = take(ready, '-inf', now)
more = ripe
if not ripe then
  more = take(hints, format('(%d', now), '+inf')
  for from = 0, 960, 32 do
    local page = call('ZRANGEBYSCORE', ready, format('(%d', now), '+inf', 'WITHSCORES', 'LIMIT', from, 32)
    for i = 1, #page, 2 do
      if next_at == 0 and not call('ZSCORE', hints, page[i]) then next_at = tonumber(page[i + 1]) end
    end
    if next_at > 0 or #page < 64 then break end
  end
end
local queued
size, queued = claim_attempts('pool:' .. pool, want_attempts, session, seq, size)
finish_up()
return {'granted', grants(), (more or queued) and 1 or 0, next_at}
