-- Starts a run.
--
-- ARGV[3] run  [4] uid, as bytes  [5] head  [6] namespace/workflow  [7] version  [8] the event Started  [9] hash of workflow
-- and input  [10] offer  [11] origin, empty for none  [12] version, as bytes  [13] that hash, as bytes
-- RETURNS {new, record, grants} | {existing, record} | {taken, record} | {version, workflow record} | {retired, workflow record} | {missing}
-- Keys beside those of the parts: w current versions, ix:<namespace> ids of runs, scored by their start.
local run, workflow, version, hash, origin = ARGV[3], ARGV[6], ARGV[7], ARGV[9], ARGV[11]
local RETIRED = 8
local namespace, id = match(run, '^([^/]*)/(.*)$')
local name = match(workflow, '[^/]*$')
take_offer(ARGV[10])

local r = load_one(run)
if r then
  if r[WORKFLOW] ~= name or r[INPUT_HASH] ~= (r[FORMAT] < 3 and hash or ARGV[13]) then return {'taken', pack_run(r)} end
  if origin ~= '' and r[ORIGIN] == '' and r[PHASE] ~= CLOSED then
    r[FORMAT], r[ORIGIN] = math.max(r[FORMAT], ORIGIN_SINCE), origin
    follow(run, r)
    touch(run)
    finish_up()
  end
  return {'existing', pack_run(r)}
end
local current = call('HGET', P .. 'w', workflow)
if not current then return {'missing'} end
local defined = cmsgpack.unpack(current)
if defined[RETIRED] then return {'retired', current} end
if defined[2] ~= version then return {'version', current} end
local pool, retention = defined[3], defined[4]

r = {
  RECORD_FORMAT, WAITING, 0, 0, 0, 0, 0, 0, 0, now, now, 0, retention, 0, 0, 0, 0, 0, ARGV[5], ARGV[4], ARGV[12], '', '', name, pool,
  ARGV[13], '', {}, origin,
}
runs[run] = r
mail(run, r, ARGV[8])
call('ZADD', P .. 'ix:' .. namespace, now, id)
now_open(run, r)
follow(run, r)
make_ready(run, r)
touch(run)
finish_up()
return {'new', bytes[run], grants()}
