-- Reads the newest events of a log, unless they have more than CONST.page_bytes.
-- Answer the events' JSON, newest first, or nil
local events, bytes, from, limit, complete = {}, 0, '+', tonumber(ARG.limit), false
while not complete and #events < limit do
  local count = math.min(LOG_BATCH, limit - #events)
  local entries = redis.call('XREVRANGE', KEY.log, from, '-', 'COUNT', count)
  for _, entry in ipairs(entries) do
    local event = event_of(entry)
    events[#events + 1], bytes, from = event, bytes + #event, '(' .. cursor_of(entry)
  end
  if bytes > CONST.page_bytes then return false end
  complete = #entries < count
end
return events
