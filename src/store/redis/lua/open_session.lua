-- Opens a session in a partition, or sets its deadline anew.
--
-- KEYS[1] the partition's prefix
-- ARGV[1] session  [2] deadline, ms
-- RETURNS 1 | 0 when it has ended
-- Keys: l:<session> its leases, with itself as ``. s sessions, scored by deadline. dead ended sessions, scored by when.
local session = ARGV[1]
if call('ZSCORE', P .. 'dead', session) then return 0 end
call('ZADD', P .. 'l:' .. session, ARGV[2], '')
call('ZADD', P .. 's', ARGV[2], session)
return 1
