-- What waits, is leased and falls due in a partition. Writes nothing.
--
-- ARGV[3] timers are told up to so many ms ahead  [4] at most so many  [5] those due by now are counted up to so many
-- RETURNS {{pool, ready turns, since...}, {pool, attempts, since...}, {session, turns, attempts...}, {ended, how many...},
--   {due, pool...}, due by now, clock}
local turns_waiting, attempts_waiting, leased, timers = {}, {}, {}, {}

local function waits(list, name, key)
  local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if #first == 0 then return end
  list[#list + 1] = name
  list[#list + 1] = call('ZCARD', key)
  list[#list + 1] = math.floor(tonumber(first[2]))
end

for _, pool in ipairs(call('SMEMBERS', P .. 'pools')) do
  waits(turns_waiting, pool, P .. 'qt:' .. pool)
  waits(attempts_waiting, pool, P .. 'qa:pool:' .. pool)
end
for _, session in ipairs(call('ZRANGEBYSCORE', P .. 's', '(0', '+inf')) do
  local key = P .. 'l:' .. session
  local turns_of = call('ZCOUNT', key, FAR, '+inf')
  local attempts_of = call('ZCARD', key) - turns_of - 1
  if turns_of + attempts_of > 0 then
    leased[#leased + 1] = session
    leased[#leased + 1] = turns_of
    leased[#leased + 1] = attempts_of
  end
end
local overdue = math.min(call('ZCOUNT', P .. 'd', '-inf', now), tonumber(ARGV[5]))
local due = call('ZRANGEBYSCORE', P .. 'd', '-inf', now + tonumber(ARGV[3]), 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[4]))
for i = 1, #due, 2 do
  local r = load(match(due[i], '^.|([^#]*)#'))
  if r and r[PHASE] ~= CLOSED and r[PHASE] ~= BLOCKED then
    timers[#timers + 1] = math.floor(tonumber(due[i + 1]))
    timers[#timers + 1] = r[POOL]
  end
end
return {turns_waiting, attempts_waiting, leased, call('HGETALL', P .. 'settled'), timers, overdue, clock}
