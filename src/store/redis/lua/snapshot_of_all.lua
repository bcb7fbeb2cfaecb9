-- Reads all live streams, newest first, as of the newest cursor.
-- Answer {newest cursor, each stream's fields and values}
local streams = {}
for _, key in ipairs(redis.call('ZRANGE', KEY.live_streams, 0, -1, 'REV')) do
  local fields = redis.call('HGETALL', ARG.stream_key_prefix .. stream_id_of(key))
  if #fields > 0 then streams[#streams + 1] = fields end
end
return { redis.call('GET', KEY.tail) or '0-0', streams }
