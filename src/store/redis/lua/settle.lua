-- Records the outcomes of several attempts of a run; its turn comes after all of them.
--
-- ARGV[3] run  [4] offer  [5] keys kept beyond those of unread events  [6] and on, of each outcome: command, attempt, session, number of
-- its request, settled | retry, event | error, empty | ms of the next attempt, idempotency key or empty
-- RETURNS {1 for each that counts and 0 for each that does not, grants}
local FIRST, EACH = 6, 8
local run, counts, events = ARGV[3], {}, {}
local keys, known = {}, {} -- idempotency keys that are new, and those that are not
take_offer(ARGV[4])

local r = load_one(run)
if r then
  local commands, asked = {}, {}
  for at = FIRST, #ARGV, EACH do
    commands[#commands + 1] = tonumber(ARGV[at])
    if ARGV[at + 7] ~= '' then asked[#asked + 1] = ARGV[at + 7] end
  end
  look_beside(run, r, commands)
  local scores = #asked > 0 and call('ZMSCORE', P .. 'k:' .. run, unpack(asked)) or {}
  for i = 1, #asked do known[asked[i]] = scores[i] end
end
for at = FIRST, #ARGV, EACH do
  local command, number, session, seq = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local settled, event, key = ARGV[at + 4] == 'settled', ARGV[at + 5], ARGV[at + 7]
  local a, place
  local is_known = known[key]
  if r and not is_known then a, place = take_claimed(run, r, command, number, session, seq, settled) end
  if a then
    touch(run)
    if key ~= '' then
      keys[#keys + 1], known[key] = key, true
    end
    end_attempt(run, r, a, place, settled, event, ARGV[at + 6])
    if settled then events[#events + 1] = event end
  end
  counts[#counts + 1] = (is_known or a) and 1 or 0
end
if r and mail_all(run, r, events) then make_ready(run, r) end
remember_keys(run, r, keys, tonumber(ARGV[5]))
finish_up()
return {counts, grants()}
