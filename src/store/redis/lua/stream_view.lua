-- Reads a stream and its first participants as of one moment.
-- Answer {the stream's fields and values, the participants' JSON in list order}
local identities = {}
local first_unlisted = '(' .. CONST.unlisted_rank
for i, key in ipairs(redis.call('ZRANGE', KEY.order, '-', first_unlisted, 'BYLEX', 'LIMIT', 0, ARG.limit)) do
  identities[i] = identity_of(key)
end
local entries = #identities > 0 and redis.call('HMGET', KEY.participants, unpack(identities)) or {}
return { redis.call('HGETALL', KEY.stream), entries }
