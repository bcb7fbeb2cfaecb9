-- The job is done; the lease is given back.
-- KEYS  1 lease, 2 when it was last done, 3 when it is due again at the latest
-- ARGV  1 the caller's token, 2 milliseconds for which to remember when, 3 milliseconds after which the job is due again at
--       the latest, or ''
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', ARGV[2])
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[3], string.format('%.0f', now + ARGV[3]), 'PX', ARGV[2])
else
  redis.call('DEL', KEYS[3])
end
return redis.call('DEL', KEYS[1])
