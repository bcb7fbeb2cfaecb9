-- Something was seen that is to be believed only if it is seen again after a while.
-- KEYS  1 when it was first seen
-- ARGV  1 milliseconds after which it is believed, 2 milliseconds for which to remember it
-- Answer 1 if it is to be believed
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local first = redis.call('GET', KEYS[1])
if not first then
  redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', ARGV[2])
  return 0
end
return now - first >= tonumber(ARGV[1]) and 1 or 0
