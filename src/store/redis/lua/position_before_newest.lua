-- Finds the position before the newest `count` events of a log.
-- Answer a cursor, or nil for an empty log
local left, from = tonumber(ARG.count), '+'
local newest = redis.call('XREVRANGE', KEY.log, '+', '-', 'COUNT', 1)[1]
local position = newest and cursor_of(newest)
while left > 0 do
  local count = math.min(LOG_BATCH, left)
  local entries = redis.call('XREVRANGE', KEY.log, from, '-', 'COUNT', count)
  if #entries > 0 then
    local oldest = entries[#entries]
    position, from = previous_of(oldest), '(' .. cursor_of(oldest)
  end
  left = #entries < count and 0 or left - count
end
return position
