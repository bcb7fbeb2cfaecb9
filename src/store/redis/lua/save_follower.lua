-- Writes fields of a follower's record, if the caller may and the record is the one that the caller knows.
-- Answer 'saved', 'lease_lost' or 'superseded'
if ARG.lease_token ~= '' and redis.call('GET', KEY.lease) ~= ARG.lease_token then return 'lease_lost' end
if (redis.call('HGET', KEY.follower, 'generation') or '') ~= ARG.expected then return 'superseded' end
redis.call('HSET', KEY.follower, 'generation', ARG.generation)
for i = 1, #ARG.fields, 2 do
  local name, value = ARG.fields[i], ARG.fields[i + 1]
  if value == '' then redis.call('HDEL', KEY.follower, name) else redis.call('HSET', KEY.follower, name, value) end
end
redis.call('HSET', KEY.followers, ARG.id, '1')
return 'saved'
