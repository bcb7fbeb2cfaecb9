-- Removes participants whose token was not used in time. One with an earlier visit shows that visit again.
local expired = redis.call('ZRANGEBYSCORE', KEY.joining, '-inf', now, 'LIMIT', 0, CONST.close_batch + 1)
if #expired == 0 then return unchanged() end
local count = for_each(expired, function(p)
  local old, has_visit = position(p), p.lastJoinedAt ~= nil
  redis.call('ZREM', KEY.joining, p.identity)
  p.state, p.expiresAt = 'disconnected', nil
  if has_visit then
    p.joinedAt, p.leftAt, p.lastJoinedAt, p.lastLeftAt = p.lastJoinedAt, p.lastLeftAt, nil, nil
    put(p, old)
  else
    p.leftAt = now
    redis.call('HDEL', KEY.participants, p.identity)
    redis.call('ZREM', old.set, old.key)
  end
  emit('participant_updated', p, not has_visit or nil)
end)
return changed(nil, count < #expired and 'partial' or 'changed')
