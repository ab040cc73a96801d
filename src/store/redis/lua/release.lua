-- Hands a lease back.
--
-- ARGV[3] run  [4] turn | attempt  [5] session  [6] number of the request that it was granted to
-- turn: ARGV[7] why the run is blocked, empty for ready  [8] head of a blocked run  [9] 1: the session keeps the context
-- attempt: ARGV[7] command  [8] attempt
-- RETURNS 1 | 0
local run, session, seq = ARGV[3], ARGV[5], tonumber(ARGV[6])

local r = load_one(run)
if not r then return 0 end
if ARGV[4] == 'turn' then
  if r[PHASE] ~= LEASED or r[SESSION] ~= session or r[SEQ] ~= seq then return 0 end
  if call('ZREM', P .. 'l:' .. session, 't|' .. run) == 0 then return 0 end
  alive[session] = true
  end_turn_lease(r)
  if ARGV[7] ~= '' then
    r[PHASE], r[WHY], r[HEAD], r[HOLDER] = BLOCKED, ARGV[7], ARGV[8], '' -- no context stands at the new head
    tell_change(run, r)
  else
    if ARGV[9] == '1' then r[HOLDER] = session elseif r[HOLDER] == session then r[HOLDER] = '' end
    make_ready(run, r)
  end
else
  local command = tonumber(ARGV[7])
  local a, place = find(run, r, command)
  if not a or a[STATE] ~= HELD or a[ATTEMPT] ~= tonumber(ARGV[8]) or a[BY] ~= session or a[BY_SEQ] ~= seq then return 0 end
  if call('ZREM', P .. 'l:' .. session, 'a|' .. run .. '#' .. command) == 0 then return 0 end
  queue_attempt(run, r, a, place)
end
touch(run)
finish_up()
return 1
