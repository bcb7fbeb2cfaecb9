-- Removes participants whose token was not used in time. One with an earlier visit shows that visit again.
local batch = CONST.close_batch
local expired = redis.call('ZRANGEBYSCORE', KEY.joining, '-inf', now, 'LIMIT', 0, batch + 1)
if #expired == 0 then return unchanged() end
for i = 1, math.min(#expired, batch) do
  local p = participant(expired[i])
  local old = list_key(p)
  redis.call('ZREM', KEY.joining, p.identity)
  p.state, p.expiresAt = 'disconnected', nil
  if p.lastJoinedAt then
    p.joinedAt, p.leftAt, p.lastJoinedAt, p.lastLeftAt = p.lastJoinedAt, p.lastLeftAt, nil, nil
    put(p, old)
  else
    p.leftAt = now
    redis.call('HDEL', KEY.participants, p.identity)
    redis.call('ZREM', KEY.order, old)
  end
  emit('participant_updated', p)
end
return changed(nil, #expired > batch and 'partial' or 'changed')
