-- Finds the position before the newest `count` events of a log, in calls that each read about CONST.scan_bytes.
-- `from` is '+', or '(' and the cursor of the oldest event that the call before has read.
-- Answer {position, '' for an empty log; number of events that the next call reads; `from` of the next call}
local left, bytes, from = tonumber(ARG.count), 0, ARG.from
local newest = redis.call('XREVRANGE', KEY.log, from, '-', 'COUNT', 1)[1]
local position = newest and cursor_of(newest) or ''
while left > 0 and bytes < CONST.scan_bytes do
  local count = math.min(LOG_BATCH, left)
  local entries = redis.call('XREVRANGE', KEY.log, from, '-', 'COUNT', count)
  for _, entry in ipairs(entries) do
    position, from = previous_of(entry), '(' .. cursor_of(entry)
    bytes = bytes + #event_of(entry)
  end
  left = #entries < count and 0 or left - count
end
return { position, left, from }
