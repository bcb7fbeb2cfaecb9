-- Moves a stream behind those whose counts are due. A stream that is not scheduled any more stays so.
return redis.call('ZADD', KEY.scheduled_counts, 'XX', integer(now + ARG.interval_ms), ARG.stream_id)
