-- Renews an attempt at a request, or ends it: with an answer, or without one so that another attempt may begin.
-- `lease_ms` is 0 to end the attempt, `answer` is '' for none, `keep_ms` is '' for a renewal.
-- Answer 1, or 0 if the caller no longer holds the attempt
if redis.call('HGET', KEY.request, 'holder') ~= ARG.holder then return 0 end
if ARG.keep_ms ~= '' then
  local created = ARG.stream_key_prefix .. (redis.call('HGET', KEY.request, 'reservedId') or '')
  -- A key under which a change was made keeps its time to live, because a free key must not have made one.
  if redis.call('EXISTS', KEY.applied, created) == 0 then
    redis.call('PEXPIRE', KEY.request, ARG.keep_ms)
    redis.call('ZADD', KEY.live_requests, integer(now + ARG.keep_ms), ARG.id)
  end
end
if ARG.answer ~= '' then
  redis.call('HSET', KEY.request, 'answer', ARG.answer)
  redis.call('HDEL', KEY.request, 'reservedId', 'begunAt')
end
if tonumber(ARG.lease_ms) == 0 then
  redis.call('HDEL', KEY.request, 'holder', 'heldUntil')
else
  redis.call('HSET', KEY.request, 'heldUntil', integer(now + ARG.lease_ms))
end
return 1
