-- Begins an attempt at a request with an idempotency key, or returns what is known of the request.
-- Answer {'begun', reserved id, time of the first attempt or '' if this is it, id of the changed stream or ''},
-- {'in_progress'}, {'other_request'} or {'answered', answer}
local fingerprint, reserved_id, begun_at, held_until, answer = unpack(
  redis.call('HMGET', KEY.request, 'fingerprint', 'reservedId', 'begunAt', 'heldUntil', 'answer')
)
if fingerprint and fingerprint ~= ARG.fingerprint then return { 'other_request' } end
if answer then return { 'answered', answer } end
if held_until and tonumber(held_until) > now then return { 'in_progress' } end
reserved_id = reserved_id or ARG.new_id
redis.call('HSET', KEY.request, 'fingerprint', ARG.fingerprint, 'reservedId', reserved_id,
  'begunAt', begun_at or integer(now), 'holder', ARG.holder, 'heldUntil', integer(now + ARG.lease_ms))
redis.call('PEXPIRE', KEY.request, ARG.record_ttl_ms)
return { 'begun', reserved_id, begun_at or '', redis.call('GET', KEY.applied) or '' }
