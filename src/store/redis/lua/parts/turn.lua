-- Part of the operations that write the journal: the judgement on a turn, its effects, the end of a run.
--
-- Keys: j:<run> journal. d what is due, scored by ms: `T|<run>#<command>#<end of the run's uid>` timers, `R|<run>#<command>`
-- back-offs; commands with ten digits, so that what falls due together fires in their order. c closed runs, scored by when
-- they go.
local BASE, ID, TURN_AT, CONSUMED, NEXT, SEEN, CLOSE, CONTINUED, SCHEDULE, SET_TIMERS, CANCEL_TIMERS, SIGNALS =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12

-- A turn: its own fields, the numbers of the four lists, then these one after the other. NEW_LAYOUT is an attempt to schedule:
-- command, time-out, heartbeat, start by, close by, queue; TIMER_LAYOUT a timer: command, due; SIGNAL_LAYOUT a signal to another run:
-- its partition, command, run, event.
local unpack_turn
do
  local TURN_LAYOUT, NEW_LAYOUT, TIMER_LAYOUT, CANCEL_LAYOUT = '<c16c16I8I4I4I4BBI4I4I4I4', '<I4I8I8I8I8Bc0', '<I4I8', '<I4'
  local SIGNAL_LAYOUT = '<I2I4I2c0I4c0'

  function unpack_turn(text)
    local turn = {unpack_fields(TURN_LAYOUT, text)}
    local place = turn[13]
    local function list(number, layout)
      local items = {}
      for i = 1, number do
        local item = {unpack_fields(layout, text, place)}
        items[i], place = item, item[#item]
      end
      return items
    end
    turn[SCHEDULE] = list(turn[SCHEDULE], NEW_LAYOUT)
    turn[SET_TIMERS] = list(turn[SET_TIMERS], TIMER_LAYOUT)
    turn[CANCEL_TIMERS] = list(turn[CANCEL_TIMERS], CANCEL_LAYOUT)
    turn[SIGNALS] = list(turn[SIGNALS], SIGNAL_LAYOUT)
    return turn
  end
end

-- `machine::commit::judge_head`: nil to accept, `Repeat`, or the refusal.
local function judge(r, turn, entry_bytes)
  local JOURNAL_BYTES_MAX = 67108864
  if r[HEAD] == turn[ID] then return 'Repeat' end
  if r[PHASE] == CLOSED then return 'Closed' end
  if r[PHASE] == BLOCKED then return 'Blocked' end
  if r[HEAD] ~= turn[BASE] then return 'HeadMoved' end
  if turn[TURN_AT] > math.max(now, r[AT]) then return 'TimeAhead' end
  if turn[CLOSE] == 0 and r[JOURNAL_BYTES] + entry_bytes > JOURNAL_BYTES_MAX then return 'JournalFull' end
end

local function timer_member(run, r, command) return format('T|%s#%010d#%s', run, command, string.sub(uid_of(r), -12)) end

local close_run
do
  -- Forgets the timers of a run that ends. Which commands they are is known to `d` only, so all numbers are tried, from both
  -- ends, until as many are gone as there are. Beyond TRIED_MAX they stay until they fall due, and are ignored then: the uid in
  -- their names keeps them from a later run of the same id.
  local function forget_timers(run, r)
    local TRIED_MAX, CHUNK = 20000, 200
    local low, high, tried = 0, r[NEXT_COMMAND] - 1, 0
    while r[TIMERS] > 0 and low <= high and tried < TRIED_MAX do
      local members = {}
      for _ = 1, CHUNK do
        if low <= high then
          members[#members + 1] = timer_member(run, r, high)
          high = high - 1
        end
        if low <= high then
          members[#members + 1] = timer_member(run, r, low)
          low = low + 1
        end
      end
      tried = tried + #members
      r[TIMERS] = r[TIMERS] - call('ZREM', P .. 'd', unpack(members))
    end
  end

  -- Ends a run: everything that could still happen to it goes.
  -- Of a run that never took a turn the first event stays: it has the input.
  function close_run(run, r, status, never_ran)
    if r[TIMERS] > 0 then forget_timers(run, r) end
    for _, a in ipairs(all_attempts(run, r)) do forget_attempt(run, r, a) end
    if r[PHASE] == READY then call('ZREM', P .. 'qt:' .. r[POOL], run) end
    if r[BESIDE] > 0 then call('DEL', P .. 'a:' .. run) end
    if never_ran then
      call('LTRIM', P .. 'm:' .. run, 0, 0)
    elseif r[MAIL] > 0 then
      call('DEL', P .. 'm:' .. run)
    end
    end_turn_lease(r)
    r[PHASE], r[CLOSED_AS], r[CLOSED_AT], r[HOLDER], r[WHY] = CLOSED, status, now, '', ''
    r[MAIL], r[MAIL_CANCEL], r[TIMERS], r[ATTEMPTS], r[BESIDE] = 0, 0, 0, {}, 0
    call('ZADD', P .. 'c', now + r[RETENTION], run)
    no_longer_open(run, r)
    if r[ORIGIN] ~= '' then call('ZREM', P .. 'fo', run .. '|' .. r[ORIGIN]) end
    wake('c|' .. run)
    tell_change(run, r)
  end
end

local consume
do
  local function count_cancels(events)
    local sum = 0
    for i = 1, #events do
      if string.sub(events[i], 1, 18) == '{"CancelRequested"' then sum = sum + 1 end
    end
    return sum
  end

  -- Takes the first events out of the mailbox, and answers them. The number of cancels in the record stops at 255: then only the mail knows.
  function consume(run, r, count)
    if count == 0 then return {} end
    local events = call('LPOP', P .. 'm:' .. run, count)
    r[MAIL] = r[MAIL] - #events
    if r[MAIL_CANCEL] == 0 then return events end
    if r[MAIL_CANCEL] < 255 then
      r[MAIL_CANCEL] = math.max(r[MAIL_CANCEL] - count_cancels(events), 0)
      return events
    end
    local left = 0
    for from = 0, r[MAIL] - 1, 100 do left = left + count_cancels(call('LRANGE', P .. 'm:' .. run, from, from + 99)) end
    r[MAIL_CANCEL] = math.min(left, 255)
    return events
  end
end

local apply_turn
do
  -- Sets timers, in calls of at most 800 arguments.
  local function set_timers(run, r, list)
    for from = 1, #list, 400 do
      local args = {}
      for i = from, math.min(from + 399, #list) do
        args[#args + 1] = list[i][2]
        args[#args + 1] = timer_member(run, r, list[i][1])
      end
      r[TIMERS] = r[TIMERS] + call('ZADD', P .. 'd', unpack(args))
    end
  end

  -- Queues the attempts of a turn, or grants the pool's own to the offer: not past an older head of the queue.
  local function schedule(run, r, list, number)
    local slots = 0
    for i = 1, #list do
      local new = list[i]
      local a = {QUEUED, new[1], 1, number, 0, 0, now, 0, new[2], new[3], new[4], new[5], '', new[6], ''}
      if i == 1 and offered(r) and offer[OFFER_ACTIVITIES] > 0 then
        local since = tonumber(call('ZRANGE', P .. 'qa:pool:' .. r[POOL], 0, 0, 'WITHSCORES')[2])
        local young = not since or (offer[OFFER_FAIR] == 0 and now - since < OVERTAKES_MS)
        if young then slots = offer[OFFER_ACTIVITIES] end
      end
      local place = add(r, a)
      if new[6] == '' and slots > 0 then
        slots = slots - 1
        offer[OFFER_ACTIVITIES] = offer[OFFER_ACTIVITIES] - 1
        grant_fresh_attempt(run, r, a, place)
      else
        queue_attempt(run, r, a, place)
      end
    end
  end

  -- Applies an accepted turn: journal, mail, signals, attempts, timers, end. Lease and phase of an open run are the caller's.
  function apply_turn(run, r, turn, before, after, events, session)
    local entry, number = before .. table.concat(events, ',') .. after, r[TURNS]
    call('RPUSH', P .. 'j:' .. run, entry)
    r[TURNS], r[JOURNAL_BYTES], r[HEAD] = number + 1, r[JOURNAL_BYTES] + #entry, turn[ID]
    r[AT], r[NEXT_COMMAND], r[DEATHS], r[HOLDER] = math.max(r[AT], turn[TURN_AT]), turn[NEXT], 0, session
    send_signals(run, r, turn[SIGNALS])
    if turn[CLOSE] > 0 then return close_run(run, r, turn[CLOSE]) end
    for _, cancelled in ipairs(turn[CANCEL_TIMERS]) do
      r[TIMERS] = math.max(r[TIMERS] - call('ZREM', P .. 'd', timer_member(run, r, cancelled[1])), 0)
    end
    set_timers(run, r, turn[SET_TIMERS])
    schedule(run, r, turn[SCHEDULE], number)
  end
end

-- A repeat: what is still leased of what the first answer granted: the turn that goes on to its own (session, request), the
-- rest to the offer. The caller has the last entry: it is the one repeated.
local function hand_out_again(run, r, session, seq)
  local function by_offer(holder, number) return offer and holder == offer[BY_WHOM] and number == offer[OFFER_SEQ] end
  if r[PHASE] == LEASED and ((r[SESSION] == session and r[SEQ] == seq) or by_offer(r[SESSION], r[SEQ])) then hand_out_turn(run, r) end
  for _, a in ipairs(all_attempts(run, r)) do
    if a[STATE] == HELD and by_offer(a[BY], a[BY_SEQ]) then hand_out_attempt(run, r, a, a[TURN] + 1 == r[TURNS]) end
  end
end
