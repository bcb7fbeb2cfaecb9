-- One of several instances gets to do a job, and not sooner than a while after it was last done.
-- KEYS  1 lease, 2 when it was last done, 3 when it is due again at the latest
-- ARGV  1 a token of the caller's own, 2 milliseconds that the lease lasts, 3 milliseconds between two times
-- Answer 1 if the caller has the lease now
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local done, again = redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3])
local due = again and tonumber(again) <= now
-- A time that is yet to come is from before Redis's clock stepped back: it says nothing.
if done and not due and tonumber(done) <= now and now - done < tonumber(ARGV[3]) then return 0 end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
