-- Removes a slice of the closed runs whose retention is over.
--
-- ARGV[3] size of a slice
-- RETURNS {runs, 1 when more are due}
local slice = tonumber(ARGV[3])
local page = call('ZRANGEBYSCORE', P .. 'c', '-inf', now, 'LIMIT', 0, slice)
for i = 1, #page do
  local run = page[i]
  local namespace, id = match(run, '^([^/]*)/(.*)$')
  call('UNLINK', P .. 'r:' .. run, P .. 'j:' .. run, P .. 'm:' .. run, P .. 'k:' .. run, P .. 'a:' .. run)
  call('ZREM', P .. 'ix:' .. namespace, id)
  call('ZREM', P .. 'c', run)
end
return {#page, #page == slice and 1 or 0}
