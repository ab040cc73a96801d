-- Renews a session in a partition.
--
-- KEYS[1] the partition's prefix
-- ARGV[1] session  [2] deadline, ms
-- RETURNS 1 | 0 when it has ended
local session = ARGV[1]
if not call('ZSCORE', P .. 'l:' .. session, '') then return 0 end
call('ZADD', P .. 'l:' .. session, ARGV[2], '')
call('ZADD', P .. 's', ARGV[2], session)
return 1
