-- Terminates, pauses or resumes a run, under a new head.
--
-- ARGV[3] run  [4] terminate | pause | resume  [5] new head  [6] entry | why it is paused | version, empty for the same
-- ARGV[7] number of the status Terminated  [8] idempotency key, empty for none  [9] keys kept beyond those of unread events
-- ARGV[10] head that the decision was made on, empty for any
-- RETURNS {done, record} | {missing} | {closed, record} | {refused, record} | {moved, record}
local run, kind, head, detail, terminated = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])

local r = load_one(run)
if not r then return {'missing'} end
if r[HEAD] == head or knows_key(run, ARGV[8]) then return {'done', pack_run(r)} end
if r[PHASE] == CLOSED then
  return {(kind == 'terminate' and r[CLOSED_AS] == terminated) and 'done' or 'closed', pack_run(r)}
end
local over = ARGV[10]
if over ~= '' and r[HEAD] ~= over then return {'moved', pack_run(r)} end
-- Held already, by whomever: the reason stays.
if kind == 'pause' and r[PHASE] == BLOCKED and over == '' then return {'done', pack_run(r)} end
if kind == 'resume' and r[PHASE] ~= BLOCKED then return {'refused', pack_run(r)} end

local phase = r[PHASE]
remember_key(run, r, ARGV[8], tonumber(ARGV[9]))
if phase == LEASED then
  call('ZREM', P .. 'l:' .. r[SESSION], 't|' .. run)
  end_turn_lease(r)
end
r[HEAD], r[HOLDER] = head, '' -- no context stands at the new head
if kind == 'terminate' then
  local never_ran = r[TURNS] == 0
  call('RPUSH', P .. 'j:' .. run, detail)
  r[TURNS], r[JOURNAL_BYTES], r[AT] = r[TURNS] + 1, r[JOURNAL_BYTES] + #detail, math.max(r[AT], now)
  close_run(run, r, terminated, never_ran)
elseif kind == 'pause' then
  if phase == READY then call('ZREM', P .. 'qt:' .. r[POOL], run) end
  r[PHASE], r[WHY] = BLOCKED, detail
  tell_change(run, r)
else
  r[WHY], r[DEATHS] = '', 0
  if detail ~= '' then
    no_longer_open(run, r)
    r[VERSION] = detail
    if r[FORMAT] >= 3 then -- as bytes
      r[VERSION] = string.gsub(detail, '%x%x', function(pair) return string.char(tonumber(pair, 16)) end)
    end
    now_open(run, r)
  end
  tell_change(run, r)
  make_ready(run, r) -- without mail too: the rest of a turn in parts may be untaken
end
touch(run)
finish_up()
return {'done', bytes[run]}
