-- Names of rooms that are over and for which a join token may still be good; it forgets the others.
-- KEYS  1 closed
-- ARGV  1 how many at the most, 2 how many to pass over
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[2] + ARGV[1] - 1)
