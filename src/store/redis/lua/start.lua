-- Starts a run.
--
-- ARGV[3] run  [4] uid  [5] head  [6] namespace/workflow  [7] version  [8] pool  [9] retention, ms  [10] the event Started
-- ARGV[11] hash of workflow and input  [12] offer
-- RETURNS {new, record, grants} | {existing, record} | {taken, record} | {version, workflow record} | {missing}
-- Keys beside those of the parts: w current versions, ix:<namespace> ids of runs, scored by their start.
local run, workflow, version, hash = ARGV[3], ARGV[6], ARGV[7], ARGV[11]
local namespace, id = match(run, '^([^/]*)/(.*)$')
local name = match(workflow, '[^/]*$')
take_offer(ARGV[12])

local r = load_one(run)
if r then return {(r[WORKFLOW] == name and r[INPUT_HASH] == hash) and 'existing' or 'taken', pack(r)} end
local current = call('HGET', P .. 'w', workflow)
if not current then return {'missing'} end
if parse(current)[2] ~= version then return {'version', current} end

r = {
  RECORD_FORMAT, ARGV[4], name, version, ARGV[8], WAITING, ARGV[5], 0, '', 0, '', 0, 0, now, now, 0, 0, 0, 0, 0, hash, '', 0, 0,
  tonumber(ARGV[9]), {}, 0,
}
runs[run] = r
mail(run, r, ARGV[10])
call('ZADD', P .. 'ix:' .. namespace, now, id)
make_ready(run, r)
touch(run)
finish_up()
return {'new', bytes[run], grants()}
