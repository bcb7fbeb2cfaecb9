-- Releases a lease after its job has finished. `due_after_ms` is '', or the time after which the job may run again
-- although its interval is not over.
if redis.call('GET', KEY.lease) ~= ARG.token then return 0 end
redis.call('SET', KEY.finished_at, integer(now), 'PX', ARG.record_ttl_ms)
if ARG.due_after_ms ~= '' then
  redis.call('SET', KEY.due_at, integer(now + ARG.due_after_ms), 'PX', ARG.record_ttl_ms)
else
  redis.call('DEL', KEY.due_at)
end
return redis.call('DEL', KEY.lease)
