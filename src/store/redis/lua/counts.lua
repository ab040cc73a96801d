-- Lengths of queues and numbers of leases of a partition, without those that are zero. Writes nothing.
--
-- KEYS[1] the partition's prefix
-- RETURNS {{pool, ready turns...}, {queue, attempts...}, {session, leases...}, due}
-- Timers of closed runs may be among what is due.
local pools, queues, leases = {}, {}, {}

local function count(list, name, number)
  if number > 0 then
    list[#list + 1] = name
    list[#list + 1] = number
  end
end

for _, pool in ipairs(call('SMEMBERS', P .. 'pools')) do count(pools, pool, call('ZCARD', P .. 'qt:' .. pool)) end
for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do count(queues, queue, call('ZCARD', P .. 'qa:' .. queue)) end
for _, session in ipairs(call('ZRANGE', P .. 's', 0, -1)) do
  local own = call('ZSCORE', P .. 'l:' .. session, '') and 1 or 0
  count(leases, session, call('ZCARD', P .. 'l:' .. session) - own + call('ZCARD', P .. 'x:' .. session))
end
count(leases, '-', call('ZCARD', P .. 'l:-'))
return {pools, queues, leases, call('ZCARD', P .. 'd')}
