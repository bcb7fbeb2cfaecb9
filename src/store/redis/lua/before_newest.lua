-- The position that the newest events of a log follow, for somebody who wants to begin with them.
-- KEYS  1 log
-- ARGV  1 how many events
-- Answer a cursor, or nothing for an empty log
local left, from = tonumber(ARGV[1]), '+'
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local position = newest and newest[1]
while left > 0 do
  local asked = math.min(32, left)
  local entries = redis.call('XREVRANGE', KEYS[1], from, '-', 'COUNT', asked)
  if #entries > 0 then
    local oldest = entries[#entries]
    position, from = oldest[2][2], '(' .. oldest[1]
  end
  left = #entries < asked and 0 or left - asked
end
return position
