-- The leases of a session, without what they are for. Writes nothing.
--
-- ARGV[3] session
-- RETURNS {{run, number of the request} turns, {run, number of the request, command, attempt} attempts}
local session = ARGV[3]
local turns_held, attempts_held = {}, {}
for _, lease in ipairs(in_order(call('ZRANGE', P .. 'l:' .. session, 0, -1))) do
  local kind, run = lease[1], lease[2]
  local r = load(run)
  if r and kind == 't' and r[PHASE] == LEASED and r[SESSION] == session then
    turns_held[#turns_held + 1] = {run, r[SEQ]}
  elseif r and kind == 'a' then
    local a = find(run, r, lease[3])
    if a and a[STATE] == HELD and a[BY] == session then attempts_held[#attempts_held + 1] = {run, a[BY_SEQ], a[COMMAND], a[ATTEMPT]} end
  end
end
return {turns_held, attempts_held}
