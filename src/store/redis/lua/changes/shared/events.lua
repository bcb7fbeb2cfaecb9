-- Returns a cursor for an event of now that is greater than `cursor`. The number behind the time is random: an old
-- master and a new one may both make changes for a moment, and must not give one cursor to two events.
local function next_cursor(cursor)
  local ms, n = cursor:match('^(%d+)-(%d+)$')
  if now > tonumber(ms) then return integer(now) .. '-' .. ARG.random end
  return ms .. '-' .. integer(n + 1 + ARG.random % 1048576)
end

local function newest_cursor()
  local tail = redis.call('GET', KEY.tail)
  if tail then return tail end
  local last = redis.call('XREVRANGE', KEY.events, '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0-0'
end

-- Whether an event carries the stream's metadata, as in Draft::new.
local function carries_metadata(kind, previous_status)
  return #stream.metadata <= CONST.max_repeated_metadata_bytes or kind == 'stream_created'
    or (kind == 'stream_updated' and not previous_status)
end

-- Gives an event its cursor, appends it to both logs and publishes it on both channels.
local function emit(kind, participant, previous_status, reason)
  local newest = newest_cursor()
  local cursor, previous = next_cursor(newest), stream.cursor
  stream.version, stream.updatedAt, stream.cursor = integer(stream.version + 1), integer(now), cursor
  local metadata = stream.metadata
  if not carries_metadata(kind, previous_status) then stream.metadata = nil end
  local event = cjson.encode({
    kind = kind, cursor = cursor, previous = previous, previousOfAll = newest, timestamp = now,
    stream = stream, participant = participant, previousStatus = previous_status, reason = reason,
  })
  stream.metadata = metadata
  redis.call('XADD', KEY.log, 'MAXLEN', '~', CONST.stream_log_length, cursor, 'previous', previous, 'event', event)
  redis.call('XADD', KEY.events, 'MAXLEN', '~', CONST.all_log_length, cursor, 'previous', newest, 'event', event)
  redis.call('SET', KEY.tail, cursor)
  redis.call('PUBLISH', KEY.log, event)
  redis.call('PUBLISH', KEY.events, event)
end
