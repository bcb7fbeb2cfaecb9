-- Reads a page of a log after a cursor, and the facts that decide whether the log is complete from there
-- (see store/log.rs). The page ends with the batch of events that exceeds `max_bytes`.
-- Answer {1 if the log has an entry with this cursor, first entry {cursor, previous} or {}, the same two for the log of
--         all streams, newest cursor, events' JSON, 1 if the log has no more}
local function has_cursor(log) return #redis.call('XRANGE', log, ARG.after, ARG.after) end
local function first(log)
  local entry = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  return entry and { cursor_of(entry), previous_of(entry) } or {}
end
local events, bytes, last, complete = {}, 0, ARG.after, false
local limit, max_bytes = tonumber(ARG.limit), tonumber(ARG.max_bytes)
while not complete and #events < limit and bytes < max_bytes do
  local count = math.min(LOG_BATCH, limit - #events)
  local entries = redis.call('XRANGE', KEY.log, '(' .. last, '+', 'COUNT', count)
  for _, entry in ipairs(entries) do
    local event = event_of(entry)
    events[#events + 1] = event
    bytes, last = bytes + #event, cursor_of(entry)
  end
  complete = #entries < count
end
return {
  has_cursor(KEY.log), first(KEY.log), has_cursor(KEY.events), first(KEY.events), redis.call('GET', KEY.tail) or '0-0',
  events, complete and 1 or 0,
}
