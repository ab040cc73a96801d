-- Reads a page of a run's journal: at least one entry when there is one. Writes nothing.
--
-- ARGV[3] run  [4] number of the first entry  [5] about how many bytes
-- RETURNS {uid, head, turns, entries} | {}
local run, from, bytes_max = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local r = load_one(run)
if not r then return {} end
local entries, size = {}, 0
local step = 1 -- an entry may be large: the next page is as long as the entries so far suggest
while size < bytes_max do
  local page = call('LRANGE', P .. 'j:' .. run, from + #entries, from + #entries + step - 1)
  for i = 1, #page do
    if #entries > 0 and size + #page[i] > bytes_max then return {r[UID], r[HEAD], r[TURNS], entries} end
    entries[#entries + 1] = page[i]
    size = size + #page[i]
  end
  if #page < step then break end
  step = math.max(1, math.min(64, math.floor((bytes_max - size) * #entries / size)))
end
return {r[UID], r[HEAD], r[TURNS], entries}
