-- Reads the cursors of the newest `count` events of a log, in calls that each read about CONST.scan_bytes.
-- `from` is '+', or '(' and the cursor of the oldest event that the call before has read.
-- Answer {cursors, newest first; cursor before the oldest of them or ''; number of events that the next call reads;
--         `from` of the next call}
local left, bytes, from, cursors, previous = tonumber(ARG.count), 0, ARG.from, {}, ''
while left > 0 and bytes < CONST.scan_bytes do
  local count = math.min(LOG_BATCH, left)
  local entries = redis.call('XREVRANGE', KEY.log, from, '-', 'COUNT', count)
  for _, entry in ipairs(entries) do
    local cursor = cursor_of(entry)
    cursors[#cursors + 1], previous, from = cursor, previous_of(entry), '(' .. cursor
    bytes = bytes + #event_of(entry)
  end
  left = #entries < count and 0 or left - count
end
return { cursors, previous, left, from }
