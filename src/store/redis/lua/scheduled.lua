-- Reads the scheduled jobs whose time has come, the earliest first. Also removes ended streams and all their keys after
-- their retention, a batch for each call.
-- Answer the members of `scheduled`
local BATCH = 100
local retained_since = now - ARG.stopped_ttl_ms
local lists = { KEY.ended_streams, KEY.all_streams, KEY.live_streams, KEY.stopped_streams, KEY.error_streams }
local expired = redis.call('ZRANGEBYSCORE', KEY.ended_streams, '-inf', retained_since, 'LIMIT', 0, BATCH)
for _, list_key in ipairs(expired) do
  for _, list in ipairs(lists) do redis.call('ZREM', list, list_key) end
  unlink_stream(stream_id_of(list_key))
end
return redis.call('ZRANGEBYSCORE', KEY.scheduled, '-inf', now, 'LIMIT', 0, ARG.limit)
