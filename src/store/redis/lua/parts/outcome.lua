
-- Part of the operations that record outcomes of attempts: whose they are, and what becomes of the attempt.
--
-- Takes the lease that an outcome is recorded under: the attempt and its place. Nothing when it is not the caller's.
local function take_claimed(run, r, command, number, session, seq, settled)
  if r[PHASE] == CLOSED then return end
  local a, place = find(run, r, command)
  if not a or a[ATTEMPT] ~= number then return end
  if a[STATE] == HELD then
    if a[BY] ~= session or a[BY_SEQ] ~= seq then return end
    local leases, lease = P .. 'l:' .. session, 'a|' .. run .. '#' .. command
    if session == EXTERNAL then
      gather('ZREM', leases, lease)
    else
      -- The last check and the first write: a session that has ended has no leases under its name.
      if call('ZREM', leases, lease) == 0 then return end
      alive[session] = true
    end
  elseif session ~= '' or not settled then
    return
  end
  return a, place
end

-- Ends the attempt, or lets it wait for its next try at `retry_at`.
local function end_attempt(run, r, a, place, settled, failure, retry_at)
  if settled then
    if a[STATE] ~= HELD then forget_attempt(run, r, a) end
    attempt_ended(r, a)
    return drop(run, r, a, place)
  end
  attempt_ended(r, a)
  a[STATE], a[BY], a[BY_SEQ], a[BEGUN_AT], a[LAST_ERROR] = BACKING_OFF, '', 0, 0, failure
  put(run, a, place)
  call('ZADD', P .. 'd', retry_at, 'R|' .. attempt_member(run, a[COMMAND]))
  give_up_later(run, a)
end
