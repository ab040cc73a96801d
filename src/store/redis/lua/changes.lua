-- Reads what has changed in a partition since a place in its feed, each run once, as it is now. Writes nothing.
--
-- ARGV[3] place, empty for the end  [4] at most so many changes  [5] about how many bytes
-- RETURNS {told, place after it, runs: {run, record, last journal entry of a closed one} | {run}, 1 when more is there} | {old}
local after, changes_max, bytes_max = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local trimmed, length = tonumber(call('GET', P .. 'ft') or 0), call('LLEN', P .. 'f')
local last = trimmed + length
if not after then return {'told', last, {}, 0} end
if after < trimmed or after > last then return {'old'} end

local page = call('LRANGE', P .. 'f', after - trimmed, after - trimmed + changes_max - 1)
local told, list, size, place = {}, {}, 0, after
for i = 1, #page do
  if size >= bytes_max then break end
  local run = page[i]
  place = after + i
  if not told[run] then
    told[run] = true
    local r = load(run)
    if r then
      local entry = r[PHASE] == CLOSED and call('LINDEX', P .. 'j:' .. run, -1) or ''
      list[#list + 1] = {run, pack_run(r), entry}
      size = size + #entry
    else
      list[#list + 1] = {run}
    end
  end
end
return {'told', place, list, place < last and 1 or 0}
