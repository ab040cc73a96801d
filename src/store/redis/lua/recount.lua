-- Finds out which runs of a partition are open, for a store that was made before that was kept.
--
-- RETURNS 1
local namespaces = {}
for _, workflow in ipairs(call('HKEYS', P .. 'w')) do namespaces[match(workflow, '^[^/]*')] = true end
call('DEL', P .. 'open', P .. 'fo')
for namespace in pairs(namespaces) do
  for _, id in ipairs(call('ZRANGE', P .. 'ix:' .. namespace, 0, -1)) do
    local run = namespace .. '/' .. id
    local r = load(run)
    if r and r[PHASE] ~= CLOSED then
      now_open(run, r)
      follow(run, r)
    end
    runs[run] = nil
  end
end
return 1
