
-- Part of the operations that open and end runs: which are open.
--
-- Keys: open how many runs are open, by `<namespace>/<workflow>/<version>`. fo open runs with an origin, `<run>|<origin>`, in the order
-- of their names.
local function open_field(run, r) return match(run, '^[^/]*') .. '/' .. r[WORKFLOW] .. '/' .. version_of(r) end

local function now_open(run, r) call('HINCRBY', P .. 'open', open_field(run, r), 1) end

local function count_closed(field)
  if call('HINCRBY', P .. 'open', field, -1) <= 0 then call('HDEL', P .. 'open', field) end
end

local function no_longer_open(run, r) count_closed(open_field(run, r)) end

local function follow(run, r)
  if r[ORIGIN] ~= '' then call('ZADD', P .. 'fo', 0, run .. '|' .. r[ORIGIN]) end
end
