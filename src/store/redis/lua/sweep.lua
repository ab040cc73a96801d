-- Removes a slice of the closed runs whose retention is over.
--
-- ARGV[3] size of a slice
-- RETURNS {runs, 1 when more are due}
local slice = tonumber(ARGV[3])
local page = call('ZRANGEBYSCORE', P .. 'c', '-inf', now, 'LIMIT', 0, slice + 1)
local count = math.min(#page, slice)
for i = 1, count do
  local run = page[i]
  local namespace, id = match(run, '^([^/]*)/(.*)$')
  call('UNLINK', P .. 'r:' .. run, P .. 'j:' .. run, P .. 'm:' .. run, P .. 'k:' .. run, P .. 'a:' .. run)
  call('ZREM', P .. 'ix:' .. namespace, id)
  call('ZREM', P .. 'c', run)
end
return {count, #page > slice and 1 or 0}
