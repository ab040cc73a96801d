-- Puts an event from outside into a run's mailbox.
--
-- ARGV[3] run  [4] event  [5] 1 for a CancelRequested  [6] idempotency key, empty for none  [7] bound on unread events
-- ARGV[8] keys kept beyond those of unread events  [9] offer
-- RETURNS {accepted, grants} | {repeat} | {missing} | {closed, record} | {full}
-- Keys beside those of the parts: k:<run> idempotency keys, scored by their number of arrival.
local run, cancel, key = ARGV[3], ARGV[5] == '1', ARGV[6]
local keys = P .. 'k:' .. run
take_offer(ARGV[9])

local r = load_one(run)
if not r then return {'missing'} end
if key ~= '' and call('ZSCORE', keys, key) then return {'repeat'} end
if r[PHASE] == CLOSED then return {'closed', pack(r)} end
if not cancel and r[MAIL] >= tonumber(ARGV[7]) then return {'full'} end

local waiting = mail(run, r, ARGV[4])
if cancel then r[MAIL_CANCEL] = math.min(r[MAIL_CANCEL] + 1, 255) end
if key ~= '' then
  local last = call('ZRANGE', keys, -1, -1, 'WITHSCORES')
  call('ZADD', keys, (tonumber(last[2]) or 0) + 1, key)
  call('ZREMRANGEBYRANK', keys, 0, -1 - r[MAIL] - tonumber(ARGV[8]))
end
if waiting then make_ready(run, r) end
touch(run)
finish_up()
return {'accepted', grants()}
