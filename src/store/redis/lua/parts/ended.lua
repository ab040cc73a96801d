-- Part of the operations with which a lease ends: how many have, by pool and by how long they used a slot.
--
-- Key: settled `<pool>#<bucket>` attempts, `<pool>#t<bucket>` turns, `<pool>` attempts of which the time is not known. A bucket is
-- one of `machine::scaling::slot_time`: a power of two has four of them.
local function ended_field(pool, kind, ms)
  local BUCKET_LAST = 109
  local bucket = 0
  if ms >= 1 then
    local head, power = math.frexp(ms)
    bucket = math.min(power * 4 + math.floor(head * 8) - 4, BUCKET_LAST)
  end
  return pool .. kind .. bucket
end

local function attempt_ended(r, a)
  if a[QUEUE] ~= '' then return end
  count(a[BEGUN_AT] > 0 and ended_field(r[POOL], '#', now - a[BEGUN_AT]) or r[POOL])
end
