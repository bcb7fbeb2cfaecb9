-- LiveKit did not list the rooms of these streams.
-- KEYS  1 missing  zset  ids of streams, by when LiveKit first did not list their rooms
-- ARGV  1 milliseconds for which to remember it, 2 and on: ids of streams, at most a few hundred
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'NX', now, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return #ARGV - 1
