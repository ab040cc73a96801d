-- Part of every operation on runs: writes that nothing reads again before the operation ends go together, so that a thousand members of
-- a set are not a thousand commands.
local ARGUMENTS_MAX = 800 -- of one command, an even number: the stack of Lua has room for some thousands

-- The command with the list's arguments from the place `from` on, as they fit.
local function call_many(command, key, list, from)
  for first = from, #list, ARGUMENTS_MAX do
    call(command, key, unpack(list, first, math.min(first + ARGUMENTS_MAX - 1, #list)))
  end
end

local begin_writes, gather, count, write_gathered
do
  local gathered, gathered_of -- writes {command, key, arguments...}, in the order in which they began, and by command and key
  local counted, fields -- what is added to fields of `settled`, and these in order

  function begin_writes() gathered, gathered_of, counted, fields = {}, {}, {}, {} end

  -- A member, or a score and a member, for a command that takes many. Two commands on one member do not mix here: they have no order.
  function gather(command, key, first, second)
    local of = command .. key
    local write = gathered_of[of]
    if not write then
      write = {command, key}
      gathered[#gathered + 1], gathered_of[of] = write, write
    end
    write[#write + 1] = first
    if second then write[#write + 1] = second end
  end

  function count(field)
    if not counted[field] then fields[#fields + 1] = field end
    counted[field] = (counted[field] or 0) + 1
  end

  function write_gathered()
    for i = 1, #gathered do call_many(gathered[i][1], gathered[i][2], gathered[i], 3) end
    for i = 1, #fields do call('HINCRBY', P .. 'settled', fields[i], counted[fields[i]]) end
  end
end

