-- Applies messages of another partition, each once and in order.
--
-- ARGV[3] partition of the sender  [4] number of the first message  [5] bound on unread events  [6...] messages
-- RETURNS {number of the last one applied, 1 when outcomes go back}
local from, first, bound = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local last = tonumber(call('HGET', P .. 'in', from) or 0)
local replied, waiting = 0, {}

local function take_in(run, r, event)
  if mail(run, r, event) and not waiting[run] then
    waiting[run] = true
    waiting[#waiting + 1] = run
  end
  touch(run)
end

-- Why a run takes no signal.
local function undeliverable(r)
  if not r then return 'RunNotFound' end
  if r[PHASE] == CLOSED then return 'RunClosed' end
  if r[MAIL] >= bound then return 'MailboxFull' end
end

for i = 6, #ARGV do
  local seq = first + i - 6
  if seq > last then
    local m = cmsgpack.unpack(ARGV[i])
    local r, newer = load(m[M_TO])
    -- A gap, or what only a newer program can read: from there on it waits.
    if seq ~= last + 1 or m[M_FORMAT] > MESSAGE_FORMAT or newer then break end
    if m[M_FROM] == '' then
      if r and uid_of(r) == m[M_TO_UID] and r[PHASE] ~= CLOSED then take_in(m[M_TO], r, m[M_EVENT]) end
    else
      local why = undeliverable(r)
      local outcome = format('{"SignalDelivered":{"command":%d}}', m[M_COMMAND])
      if why then
        outcome = format('{"SignalRefused":{"command":%d,"error":{"type":"%s","message":"run %s did not get the signal"}}}',
          m[M_COMMAND], why, match(m[M_TO], '/(.*)$'))
      else
        take_in(m[M_TO], r, m[M_EVENT])
      end
      send(m[M_FROM_PARTITION], {MESSAGE_FORMAT, m[M_FROM], m[M_FROM_UID], outcome, '', '', 0, 0})
      replied = 1
    end
    last = seq
  end
end
call('HSET', P .. 'in', from, last)
for i = 1, #waiting do make_ready(waiting[i], runs[waiting[i]]) end
finish_up()
return {last, replied}
