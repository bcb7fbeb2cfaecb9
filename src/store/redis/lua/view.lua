-- A stream and its first participants, both of one moment.
-- KEYS  1 stream, 2 participants, 3 order
-- ARGV  1 how many participants at the most
-- Answer {the stream's fields and values, the participants' JSON in list order}
local identities = {}
for i, key in ipairs(redis.call('ZRANGE', KEYS[3], '-', '(2', 'BYLEX', 'LIMIT', 0, ARGV[1])) do identities[i] = key:sub(20) end
local people = #identities > 0 and redis.call('HMGET', KEYS[2], unpack(identities)) or {}
return { redis.call('HGETALL', KEYS[1]), people }
