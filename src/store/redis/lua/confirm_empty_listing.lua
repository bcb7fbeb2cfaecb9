-- Records the first empty listing by LiveKit, and confirms a later one.
-- Answer 1 if the first one is at least `after_ms` ago
local first = redis.call('GET', KEY.empty_since)
if not first then
  redis.call('SET', KEY.empty_since, integer(now), 'PX', ARG.record_ttl_ms)
  return 0
end
return now - first >= tonumber(ARG.after_ms) and 1 or 0
