-- Marks a session in a partition to be drained, or takes the mark back.
--
-- KEYS[1] the partition's prefix
-- ARGV[1] session  [2] until, ms; 0 takes the mark back  [3] the caller's clock, ms
-- RETURNS 1 | 0 when it has ended
-- Key: drain sessions that are to be drained, scored by until when. Those that have lapsed go with the next call.
local session, until_ms = ARGV[1], ARGV[2]
call('ZREMRANGEBYSCORE', P .. 'drain', '-inf', ARGV[3])
if not call('ZSCORE', P .. 'l:' .. session, '') then return 0 end
if until_ms == '0' then
  call('ZREM', P .. 'drain', session)
else
  call('ZADD', P .. 'drain', until_ms, session)
end
return 1
