-- Reads a page of a log after a cursor, and the facts that decide whether the log is complete from there
-- (see store/log.rs). The page ends with the batch of events that exceeds `max_bytes`. Without `reads_always`, no page
-- is read after a cursor that is neither in this log nor before its first entry, because it probably needs a reset.
-- Answer {1 if the log has an entry with this cursor, first entry {cursor, previous} or {}, the same two for the log of
--         all streams, newest cursor, {events' JSON, 1 if the log has no more} or nil}
local function has_cursor(log) return #redis.call('XRANGE', log, ARG.after, ARG.after) end
local function first(log)
  local entry = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  return entry and { cursor_of(entry), previous_of(entry) } or {}
end
local function page()
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
  return { events, complete and 1 or 0 }
end
local contains_cursor, first_entry = has_cursor(KEY.log), first(KEY.log)
local is_read = ARG.reads_always == '1' or contains_cursor == 1 or ARG.after == first_entry[2]
return {
  contains_cursor, first_entry, has_cursor(KEY.events), first(KEY.events), redis.call('GET', KEY.tail) or '0-0',
  is_read and page(),
}
