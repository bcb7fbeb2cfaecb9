-- Reads a page of names of ended streams' rooms for which a join token may still be valid; removes a batch of the other
-- names.
local expired = redis.call('ZRANGEBYSCORE', KEY.closed_rooms, '-inf', now, 'LIMIT', 0, 1000)
if #expired > 0 then redis.call('ZREM', KEY.closed_rooms, unpack(expired)) end
return redis.call('ZRANGEBYSCORE', KEY.closed_rooms, '(' .. integer(now), '+inf', 'LIMIT', ARG.offset, ARG.limit)
