-- Reads a run. Writes nothing.
--
-- ARGV[3] run
-- RETURNS {record, attempts beside it, first journal entry, last journal entry, first event of the mailbox} | {}
local run = ARGV[3]
local raw = call('GET', P .. 'r:' .. run)
if not raw then return {} end
local r = unpack_run(raw)
local journal, beside, first, last = P .. 'j:' .. run, {}, '', ''
if r[BESIDE] > 0 then beside = call('HVALS', P .. 'a:' .. run) end
if r[TURNS] > 0 then first, last = call('LINDEX', journal, 0) or '', call('LINDEX', journal, -1) or '' end
return {raw, beside, first, last, call('LINDEX', P .. 'm:' .. run, 0) or ''}
