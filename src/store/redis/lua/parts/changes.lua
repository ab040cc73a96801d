
-- Part of the operations that end a run, block it, hold it or let it go on: who follows it is told.
--
-- Keys: f names of the runs with an origin that changed, in order. ft how many were trimmed off its front: the place of an entry in the
-- feed is that and its place in the list.
local function tell_change(run, r)
  local CHANGES_KEPT, CHANGES_TRIMMED = 2048, 256
  if r[ORIGIN] == '' then return end
  local length = call('RPUSH', P .. 'f', run)
  if length >= CHANGES_KEPT + CHANGES_TRIMMED then
    call('LTRIM', P .. 'f', CHANGES_TRIMMED, -1)
    call('INCRBY', P .. 'ft', CHANGES_TRIMMED)
  end
  wake('f|' .. match(P, '%d+'))
end
