-- What waits in the outbox of a partition: of each receiver a slice.
--
-- ARGV[3] size of a slice
-- RETURNS {{partition, number of the first, {message...}}...}
local parcels = {}
for _, partition in ipairs(call('SMEMBERS', P .. 'oq')) do
  local key = P .. 'o:' .. partition
  local first = tonumber(call('HGET', P .. 'on', partition)) - call('LLEN', key) + 1
  parcels[#parcels + 1] = {tonumber(partition), first, call('LRANGE', key, 0, tonumber(ARGV[3]) - 1)}
end
return parcels
