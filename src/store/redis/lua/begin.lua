-- Starts a run that `store::redis::begin` has worked out already, when nothing has its id, its workflow is to the letter what it was, and
-- the session that is to have its first turn lives. Otherwise nothing is done.
--
-- ARGV[3] run  [4] namespace/workflow  [5] the workflow's record as it was known  [6] the event Started
-- ARGV[7] the run's record, up to  [8] and from the two times in it  [9] where open runs of its kind are counted  [10] pool
-- ARGV[11] session that the first turn is leased to, empty when it is queued
-- RETURNS {done, ms, clock} | {workflow, its record as it is} | {other}
local run, pool, session = ARGV[3], ARGV[10], ARGV[11]
local record, leases = P .. 'r:' .. run, P .. 'l:' .. session

if call('EXISTS', record) == 1 then return {'other'} end
local workflow = call('HGET', P .. 'w', ARGV[4])
if workflow and workflow ~= ARGV[5] then return {'workflow', workflow} end
if not workflow or (session ~= '' and not call('ZSCORE', leases, '')) then return {'other'} end

local namespace, id = match(run, '^([^/]*)/(.*)$')
call('SET', record, ARGV[7] .. pack('<I6I6', now, now) .. ARGV[8])
call('RPUSH', P .. 'm:' .. run, ARGV[6])
call('ZADD', P .. 'ix:' .. namespace, now, id)
call('HINCRBY', P .. 'open', ARGV[9], 1)
if session ~= '' then
  call('ZADD', leases, FAR, 't|' .. run)
else
  call('ZADD', P .. 'qt:' .. pool, now, run)
  call('PUBLISH', WAKES, 'p|' .. match(P, '%d+') .. '|' .. pool)
end
return {'done', now, clock}
