-- Drops the entries whose token was not used in time; who had been here before goes back to that visit.
local expired = redis.call('ZRANGEBYSCORE', K.joining, '-inf', now, 'LIMIT', 0, BATCH + 1)
if #expired == 0 then return unchanged() end
for i = 1, math.min(#expired, BATCH) do
  local p = participant(expired[i])
  local old = list_key(p)
  redis.call('ZREM', K.joining, p.identity)
  p.state, p.expiresAt = 'disconnected', nil
  if p.lastJoinedAt then
    p.joinedAt, p.leftAt, p.lastJoinedAt, p.lastLeftAt = p.lastJoinedAt, p.lastLeftAt, nil, nil
    put(p, old)
  else
    p.leftAt = now
    redis.call('HDEL', K.participants, p.identity)
    redis.call('ZREM', K.order, old)
  end
  emit('participant_updated', p)
end
return changed(nil, #expired > BATCH and 'partial' or 'changed')
