-- Holds the name of a room that is over while a room that came back under it is deleted, so that no stream begins under
-- that name meanwhile.
-- KEYS  1 room, 2 closed, 3 hold
-- ARGV  1 the room's name, 2 milliseconds
-- Answer 1 if the name is held: no live stream has it, and a join token for it may still be good
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder = redis.call('GET', KEYS[1])
if holder and holder:sub(1, 5) == 'live:' then return 0 end
local good_until = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not good_until or tonumber(good_until) <= now then return 0 end
return redis.call('SET', KEYS[3], '1', 'NX', 'PX', ARGV[2]) and 1 or 0
