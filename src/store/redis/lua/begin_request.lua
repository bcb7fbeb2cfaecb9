-- Begins an attempt at a request with an idempotency key, or returns what is known of the request.
-- Answer {'begun', reserved id, time of the first attempt or '' if this is it, id of the changed stream or ''},
-- {'in_progress'}, {'other_request'}, {'answered', answer}, or {'too_many', milliseconds until the first key expires}
local fingerprint, reserved_id, begun_at, held_until, answer = unpack(
  redis.call('HMGET', KEY.request, 'fingerprint', 'reservedId', 'begunAt', 'heldUntil', 'answer')
)
if fingerprint and fingerprint ~= ARG.fingerprint then return { 'other_request' } end
if answer then return { 'answered', answer } end
if held_until and tonumber(held_until) > now then return { 'in_progress' } end

-- A few expired keys are removed for each new one, so that no call removes many.
local EXPIRED_BATCH = 100
local expired = redis.call('ZRANGEBYSCORE', KEY.live_requests, '-inf', integer(now), 'LIMIT', 0, EXPIRED_BATCH)
if not fingerprint and redis.call('ZCARD', KEY.live_requests) - #expired >= tonumber(ARG.max_live) then
  local first = redis.call('ZRANGE', KEY.live_requests, 0, 0, 'WITHSCORES')
  return { 'too_many', integer(first[2] - now) }
end

reserved_id = reserved_id or ARG.new_id
redis.call('HSET', KEY.request, 'fingerprint', ARG.fingerprint, 'reservedId', reserved_id,
  'begunAt', begun_at or integer(now), 'holder', ARG.holder, 'heldUntil', integer(now + ARG.lease_ms))
redis.call('PEXPIRE', KEY.request, ARG.record_ttl_ms)
if #expired > 0 then redis.call('ZREM', KEY.live_requests, unpack(expired)) end
redis.call('ZADD', KEY.live_requests, integer(now + ARG.record_ttl_ms), ARG.id)
redis.call('PEXPIRE', KEY.live_requests, ARG.record_ttl_ms)
return { 'begun', reserved_id, begun_at or '', redis.call('GET', KEY.applied) or '' }
