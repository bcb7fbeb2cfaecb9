-- Takes on a request that may be sent again, or says what became of it.
-- KEYS  1 request  hash    fingerprint; seed: the id of the stream that it creates; since: when it was first begun; holder and
--                          until: who is at it, and until when in milliseconds; answer
--       2 done     string  the stream that its change was made to, see mark_once in prelude.lua
-- ARGV  1 fingerprint, 2 holder, 3 seed, 4 milliseconds that the holder has, 5 milliseconds that the request is remembered
-- Answer {'begun', seed, since or '' for the first attempt, done or ''}, {'under_way'}, {'other'} or {'answered', answer}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'fingerprint', 'seed', 'since', 'until', 'answer')
if known[1] and known[1] ~= ARGV[1] then return { 'other' } end
if known[5] then return { 'answered', known[5] } end
if known[4] and tonumber(known[4]) > now then return { 'under_way' } end
local seed, since = known[2] or ARGV[3], known[3] or ''
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'seed', seed, 'since', since ~= '' and since or string.format('%.0f', now),
  'holder', ARGV[2], 'until', string.format('%.0f', now + ARGV[4]))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return { 'begun', seed, since, redis.call('GET', KEYS[2]) or '' }
