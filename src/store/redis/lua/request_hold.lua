-- Prolongs an attempt at a request, or ends it: with an answer, or without one so that another may begin.
-- KEYS  1 request  hash    see request_begin.lua
-- ARGV  1 holder, 2 milliseconds that the holder has from now, 0 for no longer, 3 the answer or ''
-- Answer 1, or 0 where the attempt is not the caller's any more
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'answer', ARGV[3]) end
if tonumber(ARGV[2]) == 0 then
  redis.call('HDEL', KEYS[1], 'holder', 'until')
else
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
end
return 1
