-- Trimming of the logs. Each entry has the total of the bytes that were ever appended to its log, so the size of a log
-- follows from its first entry and the newest total. A log is trimmed after each block of bytes, so that a change
-- rarely pays for it, and to a block below its maximum, so that it never exceeds the maximum in between.
local BLOCK = math.floor(ARG.log_max_bytes / CONST.trim_blocks)

-- The position after which a follower needs every event of all streams, as two numbers; nil without such a follower.
local function kept_after()
  local position = redis.call('GET', KEY.events_kept_after)
  if not position then return nil end
  local ms, n = position:match('^(%d+)-(%d+)$')
  return { tonumber(ms), tonumber(n) }
end

-- Whether a cursor is after a position.
local function is_after(cursor, position)
  local ms, n = cursor:match('^(%d+)-(%d+)$')
  ms, n = tonumber(ms), tonumber(n)
  return ms > position[1] or ms == position[1] and n > position[2]
end

-- Removes the oldest events of a log that its bounds do not keep. The bounds of the log of all streams are multiples of
-- a stream's. A pass removes a bounded number of events, and more than a block holds, so a log whose bounds were
-- lowered shrinks with time. Events after `needed` are kept within the maxima.
local function trim(log, total, events_factor, bytes_factor, needed)
  local MAX_PASS_EVENTS, MAX_PASS_BYTES, MAX_BATCH_EVENTS, MAX_BATCH_BYTES = 1000, 1048576, 16, 65536
  local min_events, max_events = ARG.log_min_events * events_factor, ARG.log_max_events * events_factor
  local max_bytes, kept_since = ARG.log_max_bytes * bytes_factor - BLOCK, now - ARG.log_retention_ms
  local length = redis.call('XLEN', log)
  local left, read, batch, from = length, 0, 1, '-'

  -- `bytes` is the size of the log from this entry on.
  local function is_kept(entry, bytes)
    if left == 1 then return true end
    if bytes > max_bytes or left > max_events then return false end
    if left <= min_events or tonumber(entry[1]:match('^%d+')) > kept_since then return true end
    return needed ~= nil and is_after(entry[1], needed)
  end

  while length - left < MAX_PASS_EVENTS and read < MAX_PASS_BYTES do
    for _, entry in ipairs(redis.call('XRANGE', log, from, '+', 'COUNT', batch)) do
      local bytes_of_event = #event_of(entry)
      if is_kept(entry, total - total_of(entry) + bytes_of_event) then
        return left < length and redis.call('XTRIM', log, 'MAXLEN', left)
      end
      left, read, from = left - 1, read + bytes_of_event, '(' .. entry[1]
    end
    -- A batch of large events is small, so that it does not hold Redis for long.
    batch = math.max(1, math.min(MAX_BATCH_EVENTS, math.floor(MAX_BATCH_BYTES * (length - left) / read)))
  end
  redis.call('XTRIM', log, 'MAXLEN', left)
end
