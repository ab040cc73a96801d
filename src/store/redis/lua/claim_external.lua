-- Leases attempts of an external queue to a program.
--
-- ARGV[3] queue `namespace/name`  [4] number of the request, unique  [5] attempts wanted  [6] 1: hand out again
-- RETURNS {granted, grants, 1 when more is queued, 0}
-- Keys beside those of the parts: e:<number> what a request was granted, kept a while for its repeat.
local name, request, seq, want, again = ARGV[3], ARGV[4], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
local granted = P .. 'e:' .. request
local REPEATS_MS = 600000
local size = 0

if again then
  for _, lease in ipairs(in_order(call('LRANGE', granted, 0, -1))) do
    local run, r = lease[2], load(lease[2])
    local a = r and find(run, r, lease[3])
    if a and a[STATE] == HELD and a[BY] == EXTERNAL and a[BY_SEQ] == seq then size = size + hand_out_attempt(run, r, a) end
  end
end

local before, more = #attempts, false
size, more = claim_attempts('queue:' .. name, want, EXTERNAL, seq, size)
local leases = {}
for i = before + 1, #attempts do
  leases[#leases + 1] = 'a|' .. attempts[i][1] .. '#' .. select(COMMAND, unpack_fields('<BI4', attempts[i][5]))
end
call_many('RPUSH', granted, leases, 1)
if #leases > 0 then call('PEXPIRE', granted, REPEATS_MS) end
finish_up()
return {'granted', grants(), more and 1 or 0, 0}
