-- Takes on a request that may be sent again, or says what became of it.
-- KEYS  1 request  hash    fingerprint; seed: the id of the stream that it creates; holder and until: who is at it, and
--                          until when in milliseconds; answer
-- ARGV  1 fingerprint, 2 holder, 3 seed, 4 milliseconds that the holder has, 5 milliseconds that the request is remembered
-- Answer {'begun', seed}, {'under_way'}, {'other'} or {'answered', answer}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'fingerprint', 'seed', 'until', 'answer')
if known[1] and known[1] ~= ARGV[1] then return { 'other' } end
if known[4] then return { 'answered', known[4] } end
if known[3] and tonumber(known[3]) > now then return { 'under_way' } end
local seed = known[2] or ARGV[3]
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'seed', seed, 'holder', ARGV[2],
  'until', string.format('%.0f', now + ARGV[4]))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return { 'begun', seed }
