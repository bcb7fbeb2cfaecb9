-- What is due by now, the longest overdue first. It also drops the streams whose time after the end is up from the lists.
-- KEYS  1 due, 2 over, 3 all, 4 live, 5 stopped, 6 error
-- ARGV  1 how many at the most, 2 milliseconds that a stream that is over can be read
-- Answer the members of `due`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2], 'LIMIT', 0, 100)) do
  for i = 2, 6 do redis.call('ZREM', KEYS[i], key) end
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
