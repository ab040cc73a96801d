
-- Part of the operations that send messages between runs.
--
-- Keys: o:<partition> messages to that partition, in order: `machine::message`. on the number of the last one sent to each.
-- oq the partitions that something waits for. in the number of the last one applied of each partition.
local MESSAGE_FORMAT = 1
local M_FORMAT, M_TO, M_TO_UID, M_EVENT, M_FROM, M_FROM_UID, M_FROM_PARTITION, M_COMMAND = 1, 2, 3, 4, 5, 6, 7, 8

local function send(partition, message)
  call('RPUSH', P .. 'o:' .. partition, cmsgpack.pack(message))
  call('HINCRBY', P .. 'on', partition, 1)
  call('SADD', P .. 'oq', partition)
end

-- The messages of a turn: partition, command, receiver, event.
local function send_signals(run, r, list)
  if #list == 0 then return end
  local here = tonumber(match(P, '%d+'))
  for i = 1, #list do
    local new = list[i]
    send(new[1], {MESSAGE_FORMAT, new[3], '', new[4], run, uid_of(r), here, new[2]})
  end
end
