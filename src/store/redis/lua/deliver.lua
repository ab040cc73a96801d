-- Puts an event from outside into a run's mailbox.
--
-- ARGV[3] run  [4] event  [5] 1 for a CancelRequested  [6] idempotency key, empty for none  [7] bound on unread events
-- ARGV[8] keys kept beyond those of unread events  [9] offer
-- RETURNS {accepted, grants} | {repeat} | {missing} | {closed, record} | {full}
local run, cancel, key = ARGV[3], ARGV[5] == '1', ARGV[6]
take_offer(ARGV[9])

local r = load_one(run)
if not r then return {'missing'} end
if knows_key(run, key) then return {'repeat'} end
if r[PHASE] == CLOSED then return {'closed', pack_run(r)} end
if not cancel and r[MAIL] >= tonumber(ARGV[7]) then return {'full'} end

local waiting = mail(run, r, ARGV[4])
if cancel then r[MAIL_CANCEL] = math.min(r[MAIL_CANCEL] + 1, 255) end
remember_key(run, r, key, tonumber(ARGV[8]))
if waiting then make_ready(run, r) end
touch(run)
finish_up()
return {'accepted', grants()}
