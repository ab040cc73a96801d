-- A sign of life of whoever has an attempt: its lease ends a heartbeat later, at most with its time.
--
-- ARGV[3] run  [4] command  [5] attempt  [6] session  [7] number of the request that it was granted to
-- RETURNS {ms when it ends} | {}
local run, command, session = ARGV[3], tonumber(ARGV[4]), ARGV[6]

local r = load_one(run)
local a = r and find(run, r, command)
if not a or a[STATE] ~= HELD or a[ATTEMPT] ~= tonumber(ARGV[5]) or a[BY] ~= session or a[BY_SEQ] ~= tonumber(ARGV[7]) then return {} end
local member = 'a|' .. run .. '#' .. command
if not call('ZSCORE', P .. 'l:' .. session, member) then return {} end
local at = lease_end(a)
call('ZADD', P .. 'l:' .. session, at, member)
return {at}
