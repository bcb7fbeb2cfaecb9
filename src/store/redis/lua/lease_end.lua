-- The job is done; the lease is given back.
-- KEYS  1 lease, 2 when it was last done
-- ARGV  1 the caller's token, 2 milliseconds for which to remember when
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
redis.call('SET', KEYS[2], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), 'PX', ARGV[2])
return redis.call('DEL', KEYS[1])
