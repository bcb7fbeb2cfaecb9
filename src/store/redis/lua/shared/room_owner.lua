-- Returns the id of the live stream that owns a room name, and nil for a free name.
local function live_owner_of(room_key)
  local owner = redis.call('GET', room_key)
  return owner and owner:match('^live:(.*)$')
end
