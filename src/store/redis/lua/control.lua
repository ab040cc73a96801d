-- Terminates, pauses or resumes a run, under a new head.
--
-- ARGV[3] run  [4] terminate | pause | resume  [5] new head  [6] entry | why it is paused | version, empty for the same
-- ARGV[7] number of the status Terminated  [8] how the JSON of a pause begins  [9] idempotency key, empty for none
-- ARGV[10] keys kept beyond those of unread events
-- RETURNS {done, record} | {missing} | {closed, record} | {refused, record}
local run, kind, head, detail, terminated = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])

local r = load_one(run)
if not r then return {'missing'} end
if r[HEAD] == head or knows_key(run, ARGV[9]) then return {'done', pack(r)} end
if r[PHASE] == CLOSED then
  return {(kind == 'terminate' and r[CLOSED_AS] == terminated) and 'done' or 'closed', pack(r)}
end
if kind == 'pause' and r[PHASE] == BLOCKED and string.sub(r[WHY], 1, #ARGV[8]) == ARGV[8] then return {'done', pack(r)} end
if kind == 'resume' and r[PHASE] ~= BLOCKED then return {'refused', pack(r)} end

local phase = r[PHASE]
remember_key(run, r, ARGV[9], tonumber(ARGV[10]))
if phase == LEASED then
  call('ZREM', P .. 'l:' .. r[SESSION], 't|' .. run)
  end_turn_lease(r)
end
r[HEAD] = head
if kind == 'terminate' then
  local never_ran = r[TURNS] == 0
  call('RPUSH', P .. 'j:' .. run, detail)
  r[TURNS], r[JOURNAL_BYTES] = r[TURNS] + 1, r[JOURNAL_BYTES] + #detail
  close_run(run, r, terminated, never_ran)
elseif kind == 'pause' then
  if phase == READY then call('ZREM', P .. 'qt:' .. r[POOL], run) end
  r[PHASE], r[WHY] = BLOCKED, detail
else
  r[PHASE], r[WHY] = WAITING, ''
  if detail ~= '' then r[VERSION], r[HOLDER] = detail, '' end
  if r[MAIL] > 0 then make_ready(run, r) end
end
touch(run)
finish_up()
return {'done', bytes[run]}
