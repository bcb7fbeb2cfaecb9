-- All streams that are not stopped, newest first, exactly as of the newest cursor.
-- KEYS  1 live, 2 tail
-- ARGV  1 what stands before an id in the key of a stream's hash (all keys are of one slot)
-- Answer {newest cursor, each stream's fields and values}
local streams = {}
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1, 'REV')) do
  local fields = redis.call('HGETALL', ARGV[1] .. key:sub(18))
  if #fields > 0 then streams[#streams + 1] = fields end
end
return { redis.call('GET', KEYS[2]) or '0-0', streams }
