-- Records that LiveKit did not list the rooms of these streams. An earlier record keeps its time.
-- Answer the number of streams
for _, id in ipairs(ARG.stream_ids) do redis.call('ZADD', KEY.missing_streams, 'NX', now, id) end
redis.call('PEXPIRE', KEY.missing_streams, ARG.ttl_ms)
return #ARG.stream_ids
