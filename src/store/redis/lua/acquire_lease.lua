-- Gives the lease on a periodic job to one instance, not sooner than `interval_ms` after the job last finished.
-- Answer 1 if the caller has the lease
local finished_at, due_at = redis.call('GET', KEY.finished_at), redis.call('GET', KEY.due_at)
local is_due = due_at and tonumber(due_at) <= now
-- A time in the future was written before Redis's clock stepped back, and is ignored.
local finished_before = finished_at and tonumber(finished_at) <= now
if finished_before and not is_due and now - finished_at < tonumber(ARG.interval_ms) then return 0 end
return redis.call('SET', KEY.lease, ARG.token, 'NX', 'PX', ARG.ttl_ms) and 1 or 0
