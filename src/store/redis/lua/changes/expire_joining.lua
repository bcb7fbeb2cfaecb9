-- Removes participants whose token was not used in time. One with an earlier visit shows that visit again.
local expired = redis.call('ZRANGEBYSCORE', KEY.joining, '-inf', now_text, 'LIMIT', 0, CONST.close_batch + 1)
if #expired == 0 then
  schedule_expiry()
  return unchanged()
end
local count = for_each(expired, function(p)
  local old, was_told = position(p), is_told(p)
  remove_joining(p.identity)
  p.state, p.expiresAt, p.handRaisedAt = 'disconnected', nil, nil
  if p.lastJoinedAt then
    p.joinedAt, p.leftAt, p.lastJoinedAt, p.lastLeftAt = p.lastJoinedAt, p.lastLeftAt, nil, nil
    put(p, old)
    tell('participant_updated', p, was_told)
  else
    p.leftAt = now_text
    redis.call('HDEL', KEY.participants, p.identity)
    if p.roleSet then
      redis.call('HSET', KEY.roles, p.identity, p.role)
      touch(KEY.roles)
    end
    redis.call('ZREM', old.set, old.key)
    if was_told then emit('participant_updated', p, true) end
  end
end)
schedule_expiry()
return changed(nil, count < #expired and 'partial' or 'changed')
