-- Applies a turn that `store::redis::step` has worked out already, and the steps that were done after it, when the run still stands as
-- it was then: the record is to the letter the same, nothing waits in the pool's queue, the lease is there, and the time of the last
-- turn has come. Otherwise nothing is done.
--
-- ARGV[3] run  [4] session  [5] its lease: of the turn, or of the attempt that the turn follows from  [6] the record as it stands
-- ARGV[7] the record as it will stand, up to  [8] and from the times in it: two of an attempt, or that of the run's end
-- ARGV[9] the last turn's time  [10] entry before its event  [11] entry after it  [12] the event, empty for the one in the mailbox
-- ARGV[13] pool  [14] the lease of the attempt that begins, empty when the run ends  [15] ms of that lease, or ms until the run goes
-- ARGV[16] where open runs of its kind are counted  [17] since when the turn or the attempt used its slot; 0: that of the attempt is
-- not known  [18] and on: the entries of the steps, whose attempts took no time
-- RETURNS {done, ms} | {other}
local run, session, lease, event, pool, begins = ARGV[3], ARGV[4], ARGV[5], ARGV[12], ARGV[13], ARGV[14]
local record, steps = P .. 'r:' .. run, #ARGV - 17

if call('GET', record) ~= ARGV[6] or now < tonumber(ARGV[9]) then return {'other'} end
if (begins ~= '' or steps > 0) and call('EXISTS', P .. 'qa:pool:' .. pool) == 1 then return {'other'} end
-- The last check and the first write: a session that has ended has no leases under its name.
if call('ZREM', P .. 'l:' .. session, lease) == 0 then return {'other'} end

if event == '' then
  event = call('LPOP', P .. 'm:' .. run)
  call('HINCRBY', P .. 'settled', ended_field(pool, '#t', now - ARGV[17]), 1)
else
  call('HINCRBY', P .. 'settled', ARGV[17] == '0' and pool or ended_field(pool, '#', now - ARGV[17]), 1)
end
local entry = ARGV[10] .. event .. ARGV[11]
if steps > 0 then
  call('RPUSH', P .. 'j:' .. run, entry, unpack(ARGV, 18))
  call('HINCRBY', P .. 'settled', pool .. '#0', steps)
else
  call('RPUSH', P .. 'j:' .. run, entry)
end
local later = format('%d', now + ARGV[15])
if begins ~= '' then
  call('ZADD', P .. 'l:' .. session, later, begins)
  call('SET', record, ARGV[7] .. pack('<I8I8', now, now) .. ARGV[8])
else
  call('ZADD', P .. 'c', later, run)
  count_closed(ARGV[16])
  call('SET', record, ARGV[7] .. pack('<I8', now) .. ARGV[8])
  call('PUBLISH', WAKES, 'c|' .. run)
end
return {'done', now}
