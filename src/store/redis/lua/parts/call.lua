-- Part of every operation: what a call works with, and the time.
--
-- KEYS[1] the partition's prefix `{e<P>}:`. Every key of a call is made from it, so all of them carry its hash tag.
-- ARGV[1] the caller's estimate of the store's clock, ms
-- ARGV[2] the channel of wakes
-- Of all parts together no more than 200 names may stand at the top level: what one function needs alone is in it, or in a block.
local call, pack, unpack_fields, match, format -- what a server gives to a call only, not to a library that is loaded
local KEYS, ARGV, P, WAKES -- of this call
local clock, now -- the clock of the server, and the time of this call: never ahead of it

local function begin_time()
  clock = call('TIME')
  clock = clock[1] * 1000 + math.floor(clock[2] / 1000)
  now = math.min(tonumber(ARGV[1]), clock)
end

