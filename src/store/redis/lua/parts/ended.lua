-- Part of the operations with which a lease ends: how many have, by pool and by how long they used a slot.
--
-- Key: settled `<pool>#<bucket>` attempts, `<pool>#t<bucket>` turns, `<pool>` attempts of which the time is not known. A bucket is
-- one of `machine::scaling::slot_time`: a power of two has four of them.
local BUCKET_LAST = 109

local function ended(pool, kind, ms)
  local bucket = 0
  if ms >= 1 then
    local head, power = math.frexp(ms)
    bucket = math.min(power * 4 + math.floor(head * 8) - 4, BUCKET_LAST)
  end
  call('HINCRBY', P .. 'settled', pool .. kind .. bucket, 1)
end

local function attempt_ended(r, a)
  if a[QUEUE] ~= '' then return end
  if a[BEGUN_AT] > 0 then return ended(r[POOL], '#', now - a[BEGUN_AT]) end
  call('HINCRBY', P .. 'settled', r[POOL], 1)
end
