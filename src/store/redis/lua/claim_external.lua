-- Leases attempts of an external queue to a program.
--
-- ARGV[3] queue `namespace/name`  [4] number of the request, unique  [5] attempts wanted  [6] 1: hand out again
-- RETURNS {granted, grants, 1 when more is queued, 0}
-- Keys beside those of the parts: e:<number> what a request was granted, kept a while for its repeat.
local name, request, seq, want, again = ARGV[3], ARGV[4], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local queue, granted = P .. 'qa:queue:' .. name, P .. 'e:' .. request
local REPEATS_MS = 600000
local size = 0

if again then
  for _, member in ipairs(call('LRANGE', granted, 0, -1)) do
    local run, command = match(member, '^([^#]*)#(%d+)$')
    local r = load(run)
    local a = r and find(run, r, tonumber(command))
    if a and a[STATE] == HELD and a[BY] == EXTERNAL and a[BY_SEQ] == seq then size = size + hand_out_attempt(run, r, a) end
  end
end

local left, fresh = call('LLEN', queue), 0
while #attempts < want and size < ANSWER_BYTES_MAX and left > 0 do
  local member = call('LPOP', queue)
  left = left - 1
  local run, command = match(member, '^([^#]*)#(%d+)#')
  local r, newer = load(run)
  local a, place
  if r then a, place = find(run, r, tonumber(command)) end
  if newer then
    call('RPUSH', queue, member)
  elseif a and a[STATE] == QUEUED and a[QUEUE] == name then
    size = size + grant_attempt(run, r, a, place, EXTERNAL, seq)
    touch(run)
    call('RPUSH', granted, run .. '#' .. command)
    fresh = fresh + 1
  end
end
if fresh > 0 then call('PEXPIRE', granted, REPEATS_MS) end
finish_up()
return {'granted', grants(), left > 0 and 1 or 0, 0}
