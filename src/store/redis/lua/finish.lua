-- Records an attempt's outcome, and commits the optimistic turn that comes with it. `machine::commit`: `holds`,
-- `judge_optimistic`.
--
-- ARGV[3] run  [4] command  [5] attempt  [6] session, empty for the service  [7] number of its request  [8] offer
-- ARGV[9] settled | retry  [10] event | error  [11] empty | ms of the next attempt
-- ARGV[12] turn, empty for none  [13] entry before its events  [14] entry after them
-- ARGV[15] idempotency key, empty for none  [16] keys kept beyond those of unread events
-- RETURNS {accepted, `` | Accepted | refusal, grants, record; none to a repeat} | {lost} | {missing}
local run, command, number, session, seq = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local settled, event = ARGV[9] == 'settled', ARGV[10]
local turn, before, after = nil, ARGV[13], ARGV[14]
if ARGV[12] ~= '' then turn = unpack_turn(ARGV[12]) end
take_offer(ARGV[8])

local r = load_one(run)
if not r then return {'missing'} end
if turn and r[HEAD] == turn[ID] then
  hand_out_again(run, r, session, seq)
  if r[PHASE] == CLOSED then now = r[CLOSED_AT] end
  return {'accepted', 'Accepted', grants()}
end
if knows_key(run, ARGV[15]) then return {'accepted', '', grants()} end
local a, place = take_claimed(run, r, command, number, session, seq, settled)
if not a then return {'lost'} end

touch(run)
remember_key(run, r, ARGV[15], tonumber(ARGV[16]))
end_attempt(run, r, a, place, settled, event, ARGV[11])
if not settled then
  finish_up()
  return {'accepted', '', grants()}
end

local verdict = ''
if turn then
  verdict = judge(r, turn, #before + #after)
  if not verdict and r[PHASE] == LEASED then verdict = 'LeaseLost' end
  if not verdict and (r[MAIL_CANCEL] > 0 or (turn[CLOSE] > 0 and r[MAIL] > 0)) then verdict = 'MailWaits' end
end
if verdict then
  if mail(run, r, event) then make_ready(run, r) end
else
  verdict = 'Accepted'
  apply_turn(run, r, turn, before, after, {event}, session)
  if r[PHASE] ~= CLOSED and turn[CONTINUED] == 1 then
    -- It goes on in the next commit: from here on under a lease, with the request number of the attempt.
    if r[PHASE] == READY then call('ZREM', P .. 'qt:' .. r[POOL], run) end
    grant_turn(run, r, session, seq)
  elseif r[PHASE] == READY then
    -- Passed mail is read next: by this session when it has a slot, else by whoever claims the run.
    local grant = r[MAIL] > 0 and offered(r) and offer[BY_WHOM] == session and offer[OFFER_TURNS] > 0
    if grant or r[MAIL] == 0 then call('ZREM', P .. 'qt:' .. r[POOL], run) end
    if grant then
      grant_turn(run, r, session, offer[OFFER_SEQ])
    elseif r[MAIL] == 0 then
      r[PHASE] = WAITING
    else -- its place stays, and this session has the context now
      local from = tonumber(call('ZSCORE', P .. 'qt:' .. r[POOL], run) or now)
      if from > now then call('ZADD', P .. 'qh:' .. session, from, run) end
    end
  end
end
finish_up()
return {'accepted', verdict, grants(), bytes[run]}
