-- A log after a cursor, and what there is to know about that cursor (see store/log.rs).
-- KEYS  1 the topic's log, 2 the log of all streams, 3 tail
-- ARGV  1 cursor, 2 how many events at the most
-- Answer {held, first {cursor, previous} or {}, held by all, first of all or {}, newest cursor, events' JSON}
local function held(log) return #redis.call('XRANGE', log, ARGV[1], ARGV[1]) end
local function first(log)
  local entry = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  return entry and { entry[1], entry[2][2] } or {}
end
local events = {}
for i, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do events[i] = entry[2][4] end
return { held(KEYS[1]), first(KEYS[1]), held(KEYS[2]), first(KEYS[2]), redis.call('GET', KEYS[3]) or '0-0', events }
