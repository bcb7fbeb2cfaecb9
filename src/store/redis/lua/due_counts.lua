-- Reads the streams whose counts are to be told, the earliest first.
-- Answer {stream ids, milliseconds until the next one is due or ''}
local due = redis.call('ZRANGEBYSCORE', KEY.scheduled_counts, '-inf', integer(now), 'LIMIT', 0, ARG.limit)
local from = '(' .. integer(now)
local later = redis.call('ZRANGEBYSCORE', KEY.scheduled_counts, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return { due, later[2] and integer(later[2] - now) or '' }
