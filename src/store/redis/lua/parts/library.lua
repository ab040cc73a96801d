-- The end of the parts: how an operation becomes a function of the library. Its name ends with the hash of the whole, so that
-- two versions of the library stand side by side in a server.
--
-- What a call works with is in locals of the library, set anew when it begins: a call that was cut off by an error leaves nothing.
local function register(name, begin, operation)
  redis.register_function(name .. '_' .. HASH, function(keys, args)
    call, pack, unpack_fields, match, format = redis.call, struct.pack, struct.unpack, string.match, string.format
    KEYS, ARGV, P, WAKES = keys, args, keys[1], args[2]
    begin()
    return operation()
  end)
end

local function plain() end

local function on_runs()
  begin_records()
  begin_grants()
end
