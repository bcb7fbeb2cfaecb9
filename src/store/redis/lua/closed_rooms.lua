-- Reads a page of names of ended streams' rooms for which a join token may still be valid; removes the other names.
redis.call('ZREMRANGEBYSCORE', KEY.closed_rooms, '-inf', now)
return redis.call('ZRANGE', KEY.closed_rooms, ARG.offset, ARG.offset + ARG.limit - 1)
