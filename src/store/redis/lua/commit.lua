-- Commits a turn under a lease. `machine::commit::judge_leased`.
--
-- ARGV[3] run  [4] session  [5] number of the request that the lease was granted to  [6] turn  [7] entry before its events
-- ARGV[8] entry after them  [9] offer
-- RETURNS {accepted, grants, record} | {accepted, grants} to a repeat | {more, events, all mail} | {refused, refusal}
local run, session, seq, turn = ARGV[3], ARGV[4], tonumber(ARGV[5]), unpack_turn(ARGV[6])
local before, after = ARGV[7], ARGV[8]
take_offer(ARGV[9])

local r = load_one(run)
if not r then return {'refused', 'NotFound'} end
local consumed = math.min(turn[CONSUMED], r[MAIL])
local verdict = judge(r, turn, #before + #after)
if verdict == 'Repeat' then
  hand_out_again(run, r, session, seq)
  if r[PHASE] == CLOSED then now = r[CLOSED_AT] end
  return {'accepted', grants()}
end
if verdict then return {'refused', verdict} end
if r[PHASE] ~= LEASED or r[SESSION] ~= session or r[SEQ] ~= seq then return {'refused', 'LeaseLost'} end
local must_see = turn[SEEN] == 0 and r[MAIL] or math.min(turn[SEEN], r[MAIL])
if turn[CLOSE] > 0 and must_see > consumed then
  if not is_alive(session) then return {'refused', 'LeaseLost'} end
  return {'more', (read_mail(run, r, consumed)), r[MAIL]}
end
-- The last check and the first write: a session that has ended has no leases under its name.
if call('ZREM', P .. 'l:' .. session, 't|' .. run) == 0 then return {'refused', 'LeaseLost'} end
alive[session] = true

apply_turn(run, r, turn, before, after, consume(run, r, consumed), session)
if r[PHASE] == CLOSED or turn[CONTINUED] == 0 then count(ended_field(r[POOL], '#t', now - turn[TURN_AT])) end
if r[PHASE] ~= CLOSED then
  if turn[CONTINUED] == 1 then
    call('ZADD', P .. 'l:' .. session, FAR, 't|' .. run)
    hand_out_turn(run, r)
  else
    end_turn_lease(r)
    r[PHASE] = WAITING
    if r[MAIL] > 0 then make_ready(run, r) end
  end
end
touch(run)
finish_up()
return {'accepted', grants(), bytes[run]}
