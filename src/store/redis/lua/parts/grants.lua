-- Part of every operation that moves leases: sessions, offers, queues, mail, wakes.
--
-- Keys: l:<session> leases of a session, scored by when they end: `` the session's own deadline (only a session that lives
-- has it), `t|<run>` a turn, `a|<run>#<command>` an attempt. m:<run> mailbox. qt:<pool> ready runs, scored by the ms from
-- which anyone may claim them. qh:<session> those of them that prefer a session, as long as they do: a hint, checked at the claim.
-- qa:<queue> queued attempts `<run>#<command>`, scored by the ms since which they wait, in PLACES parts of a ms so that no
-- two have the same place. queues: the names of those.
-- k:<run> idempotency keys. g attempts that nobody has and that are to be given up `<run>#<command>`, scored by when; the command
-- with ten digits.
local AFFINITY_MS, OVERTAKES_MS = 50, 20
local CLAIM_EVENTS_MAX, ANSWER_BYTES_MAX = 1000, 4194304
local FAR = 9007199254740991 -- a turn's lease ends with its session only
local EXTERNAL = '-'

local turns, attempts -- what this call grants
local entries, entry_places -- the journal entries that have the names and arguments of those attempts, each once
local fresh -- of the attempts that this call has made: {run, uid, workflow, version, turn, command...}; the caller knows the rest
local wakes, woken
local alive -- sessions that were looked up
local only_mail -- by run: the one event of a mailbox that was empty before
local last_places -- of queues, as this call has filled them
local offer

local function begin_grants()
  turns, attempts, entries, entry_places, fresh = {}, {}, {}, {}, {}
  wakes, woken, alive, only_mail, last_places, offer = {}, {}, {}, {}, {}, nil
end

local function is_alive(session)
  local known = alive[session]
  if known == nil then
    known = call('ZSCORE', P .. 'l:' .. session, '') ~= false
    alive[session] = known
  end
  return known
end

-- What a waiting session offers; an empty text is none.
local BY_WHOM, OFFER_SEQ, OFFER_POOL, OFFER_TURNS, OFFER_ACTIVITIES, OFFER_FAIR = 1, 2, 3, 4, 5, 6
local function take_offer(text)
  local OFFER_LAYOUT = '<Bc0I8Bc0I2I2B'
  if text ~= '' then offer = {unpack_fields(OFFER_LAYOUT, text)} end
end

local function offered(r) return offer and offer[OFFER_POOL] == r[POOL] and is_alive(offer[BY_WHOM]) end

local function wake(message)
  if not woken[message] then
    woken[message] = true
    wakes[#wakes + 1] = message
  end
end

-- The last writes of an operation: records, then wakes.
local function finish_up()
  save()
  write_gathered()
  for i = 1, #wakes do call('PUBLISH', WAKES, wakes[i]) end
end

-- The answer's grants; after `finish_up`.
local function grants()
  for i = 1, #turns do
    local run = turns[i][1]
    turns[i][2] = bytes[run] or pack_run(runs[run])
  end
  return {turns, attempts, entries, fresh, now}
end

-- The mail after the first `from` events, at most what one claim hands out; its bytes.
local function read_mail(run, r, from)
  local only = from == 0 and only_mail[run]
  if only then return {only}, #only end
  local list, size, left = {}, 0, math.min(r[MAIL] - from, CLAIM_EVENTS_MAX)
  while #list < left do
    local at = from + #list
    local page = call('LRANGE', P .. 'm:' .. run, at, at + math.min(left - #list, 32) - 1)
    if #page == 0 then return list, size end
    for i = 1, #page do
      if #list > 0 and size + #page[i] > ANSWER_BYTES_MAX then return list, size end
      size = size + #page[i]
      list[#list + 1] = page[i]
    end
  end
  return list, size
end

-- Puts a turn that the record says is leased into the answer; the bytes of its mail.
local function hand_out_turn(run, r)
  local events, size = read_mail(run, r, 0)
  turns[#turns + 1] = {run, '', events, clock}
  return size
end

local function grant_turn(run, r, session, seq)
  r[PHASE], r[SESSION], r[SEQ], r[EPOCH] = LEASED, session, seq, r[EPOCH] + 1
  gather('ZADD', P .. 'l:' .. session, FAR, 't|' .. run)
  return hand_out_turn(run, r)
end

local function end_turn_lease(r) r[SESSION], r[SEQ] = '', 0 end

-- Puts an attempt that is leased into the answer, with the place of its entry there; 0 when the caller has that. The bytes that
-- this adds.
local function hand_out_attempt(run, r, a, is_known, packed)
  local place, size = 0, 0
  if not is_known then
    local of = run .. '#' .. a[TURN]
    place = entry_places[of]
    if not place then
      local entry = call('LINDEX', P .. 'j:' .. run, a[TURN]) or ''
      place, size = #entries + 1, #entry
      entries[place], entry_places[of] = entry, place
    end
  end
  attempts[#attempts + 1] = {run, r[UID], r[WORKFLOW], r[VERSION], packed or pack_attempt(a), place}
  return size
end

local function attempt_member(run, command) return format('%s#%010d', run, command) end

-- Nobody has the attempt: it is given up when its first start or its end is overdue.
local function give_up_later(run, a)
  local at = a[START_BY]
  if at == 0 or (a[CLOSE_BY] > 0 and a[CLOSE_BY] < at) then at = a[CLOSE_BY] end
  if at > 0 then call('ZADD', P .. 'g', at, attempt_member(run, a[COMMAND])) end
end

local function forget_giving_up(run, a)
  if a[START_BY] > 0 or a[CLOSE_BY] > 0 then call('ZREM', P .. 'g', attempt_member(run, a[COMMAND])) end
end

-- When a lease on an attempt ends that begins, or gives a sign of life, now.
local function lease_end(a)
  local ms = math.max(a[TIMEOUT] - (now - a[BEGUN_AT]), 0)
  if a[HEARTBEAT] > 0 and a[HEARTBEAT] < ms then ms = a[HEARTBEAT] end
  if a[CLOSE_BY] > 0 then return math.min(now + ms, a[CLOSE_BY]) end
  return now + ms
end

local function lease_attempt(run, a, place, session, seq)
  forget_giving_up(run, a)
  a[STATE], a[BY], a[BY_SEQ], a[BEGUN_AT], a[START_BY] = HELD, session, seq, now, 0
  local packed = put(run, a, place)
  gather('ZADD', P .. 'l:' .. session, lease_end(a), 'a|' .. run .. '#' .. a[COMMAND])
  return packed
end

local function grant_attempt(run, r, a, place, session, seq)
  return hand_out_attempt(run, r, a, false, lease_attempt(run, a, place, session, seq))
end

local function grant_fresh_attempt(run, r, a, place)
  lease_attempt(run, a, place, offer[BY_WHOM], offer[OFFER_SEQ])
  if #fresh == 0 then fresh = {run, r[UID], r[WORKFLOW], r[VERSION], a[TURN]} end
  fresh[#fresh + 1] = a[COMMAND]
end

local function queue_of(r, a)
  if a[QUEUE] == '' then return 'pool:' .. r[POOL] end
  return 'queue:' .. a[QUEUE]
end

-- Puts an attempt at the end of its queue.
local function queue_attempt(run, r, a, place)
  local PLACES = 1024 -- a double tells so many parts of a ms apart until the year 2248
  a[STATE], a[BY], a[BY_SEQ], a[BEGUN_AT] = QUEUED, '', 0, 0
  put(run, a, place)
  local queue, at = queue_of(r, a), now
  local key = P .. 'qa:' .. queue
  local last = last_places[queue] or tonumber(call('ZRANGE', key, -1, -1, 'WITHSCORES')[2])
  if last then
    at = math.max(now, last + 1 / PLACES)
  else
    call('SADD', P .. 'queues', queue)
    wake((a[QUEUE] == '' and 'p|' .. match(P, '%d+') .. '|' .. r[POOL]) or 'q|' .. match(P, '%d+') .. '|' .. a[QUEUE])
  end
  gather('ZADD', key, at, attempt_member(run, a[COMMAND]))
  last_places[queue] = at
  give_up_later(run, a)
end

-- Makes a run ready: its turn is granted to the offer, or put into its pool's queue.
local function make_ready(run, r)
  local holder = r[HOLDER]
  local prefers = holder ~= '' and is_alive(holder)
  if offered(r) and offer[OFFER_TURNS] > 0 and (not prefers or holder == offer[BY_WHOM]) then
    offer[OFFER_TURNS] = offer[OFFER_TURNS] - 1
    grant_turn(run, r, offer[BY_WHOM], offer[OFFER_SEQ])
    return
  end
  local from = now
  r[PHASE] = READY
  if prefers then
    from = now + AFFINITY_MS
    call('ZREMRANGEBYSCORE', P .. 'qh:' .. holder, '-inf', now)
    call('ZADD', P .. 'qh:' .. holder, from, run)
  end
  call('ZADD', P .. 'qt:' .. r[POOL], from, run)
  wake('p|' .. match(P, '%d+') .. '|' .. r[POOL])
end

-- Puts events into the mailbox: true when the run has been waiting for one and is to be made ready.
local function mail_all(run, r, events)
  if #events == 0 then return false end
  call_many('RPUSH', P .. 'm:' .. run, events, 1)
  only_mail[run] = r[MAIL] == 0 and #events == 1 and events[1] or nil
  r[MAIL] = r[MAIL] + #events
  return r[PHASE] == WAITING
end

local function mail(run, r, event) return mail_all(run, r, {event}) end

-- Idempotency keys of what came from outside, scored by their number of arrival; `kept` are kept beyond those of unread events.
local function knows_key(run, key) return key ~= '' and call('ZSCORE', P .. 'k:' .. run, key) ~= false end

local function remember_keys(run, r, new, kept)
  if #new == 0 then return end
  local keys = P .. 'k:' .. run
  local last = tonumber(call('ZRANGE', keys, -1, -1, 'WITHSCORES')[2]) or 0
  local scored = {}
  for i = 1, #new do scored[2 * i - 1], scored[2 * i] = last + i, new[i] end
  call_many('ZADD', keys, scored, 1)
  call('ZREMRANGEBYRANK', keys, 0, -1 - r[MAIL] - kept)
end

local function remember_key(run, r, key, kept)
  if key ~= '' then remember_keys(run, r, {key}, kept) end
end

local claim_attempts
do
  -- Queued attempts as {run, command}; what stands beside records is read in one go for each of them.
  local function queued_attempts(members)
    local queued, commands = {}, {}
    for i = 1, #members do
      local run, command = match(members[i], '^([^#]*)#(%d+)$')
      queued[i] = {run, tonumber(command)}
      if not commands[run] then commands[run] = {} end
      table.insert(commands[run], tonumber(command))
    end
    for run, list in pairs(commands) do
      local r = load(run)
      if r then look_beside(run, r, list) end
    end
    return queued
  end

  -- Grants the first of a queue; the bytes of the answer, and whether more is queued. What a newer program wrote is passed over.
  function claim_attempts(queue, want, session, seq, size)
    local key, passed = P .. 'qa:' .. queue, 0
    while true do
      local page = call('ZRANGE', key, passed, passed + 31)
      if #page == 0 then return size, false end
      local gone, is_full = {}, false
      for i, queued in ipairs(queued_attempts(page)) do
        local run, command = queued[1], queued[2]
        local r, newer = load(run)
        local a, place
        if r then a, place = find(run, r, command) end
        if newer then
          passed = passed + 1
        elseif #attempts >= want or size >= ANSWER_BYTES_MAX then
          is_full = true
          break
        else
          gone[#gone + 1] = page[i]
          if a and a[STATE] == QUEUED then
            size = size + grant_attempt(run, r, a, place, session, seq)
            touch(run)
          end
        end
      end
      call_many('ZREM', key, gone, 1)
      if is_full then return size, true end
    end
  end
end

-- Lease members in the order of kind, run and command: {kind, run, command}.
local function in_order(members)
  local list = {}
  for i = 1, #members do
    local kind, run, command = match(members[i], '^(.)|([^#]*)#?(%d*)$')
    if kind then list[#list + 1] = {kind, run, tonumber(command) or 0} end
  end
  table.sort(list, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    if a[2] ~= b[2] then return a[2] < b[2] end
    return a[3] < b[3]
  end)
  return list
end

-- Removes what stands outside of the record for an attempt that ends.
local function forget_attempt(run, r, a)
  if a[STATE] == HELD then
    call('ZREM', P .. 'l:' .. a[BY], 'a|' .. run .. '#' .. a[COMMAND])
  elseif a[STATE] == QUEUED then
    call('ZREM', P .. 'qa:' .. queue_of(r, a), attempt_member(run, a[COMMAND]))
  else
    call('ZREM', P .. 'd', 'R|' .. attempt_member(run, a[COMMAND]))
  end
  if a[STATE] ~= HELD then forget_giving_up(run, a) end
end
