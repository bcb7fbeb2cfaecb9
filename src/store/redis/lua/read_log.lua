-- A page of a log after a cursor, and what there is to know about that cursor (see store/log.rs).
-- KEYS  1 the topic's log, 2 the log of all streams, 3 tail
-- ARGV  1 cursor, 2 how many events at the most, 3 how many bytes of them, about
-- Answer {held, first {cursor, previous} or {}, held by all, first of all or {}, newest cursor, events' JSON,
--         1 if the log has no more}
local function held(log) return #redis.call('XRANGE', log, ARGV[1], ARGV[1]) end
local function first(log)
  local entry = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  return entry and { entry[1], entry[2][2] } or {}
end
-- In batches, so that a page of large events is never held as a whole before it is cut.
local events, bytes, last, complete = {}, 0, ARGV[1], false
local limit, most = tonumber(ARGV[2]), tonumber(ARGV[3])
while not complete and #events < limit and bytes < most do
  local asked = math.min(32, limit - #events)
  local entries = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', asked)
  for _, entry in ipairs(entries) do
    events[#events + 1] = entry[2][4]
    bytes, last = bytes + #entry[2][4], entry[1]
  end
  complete = #entries < asked
end
return {
  held(KEYS[1]), first(KEYS[1]), held(KEYS[2]), first(KEYS[2]), redis.call('GET', KEYS[3]) or '0-0', events,
  complete and 1 or 0,
}
