-- Replaces the record of a webhook endpoint. `previous` is '' if the endpoint must not exist, and `next` is '' to
-- delete it.
-- Answer 'replaced', 'changed' or 'full'
if (redis.call('HGET', KEY.endpoints, ARG.id) or '') ~= ARG.previous then return 'changed' end
local is_new = ARG.previous == '' and ARG.next ~= ''
if is_new and redis.call('HLEN', KEY.endpoints) >= tonumber(ARG.max) then return 'full' end
if ARG.next == '' then
  redis.call('HDEL', KEY.endpoints, ARG.id)
else
  redis.call('HSET', KEY.endpoints, ARG.id, ARG.next)
end
redis.call('INCRBY', KEY.revision, 1)
return 'replaced'
