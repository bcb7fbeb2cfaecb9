-- The time of the next event's cursor, at least. With partitions it is not before the floor of this partition's clock,
-- see `advance_clock.lua`.
local function cursor_time()
  local floor = ARG.cursor_step ~= '1' and redis.call('GET', KEY.clock_floor)
  return floor and math.max(now, floor) or now
end

-- Returns a cursor for an event of now that is greater than `cursor`. The number behind the time is random: an old
-- master and a new one may both make changes for a moment, and must not give one cursor to two events.
local function next_cursor(cursor)
  local ms, n = cursor:match('^(%d+)-(%d+)$')
  local time = cursor_time()
  if time > tonumber(ms) then return integer(time) .. '-' .. ARG.cursor_number end
  return ms .. '-' .. integer(n + (1 + ARG.cursor_number % 1048576) * ARG.cursor_step)
end

local function newest_cursor()
  local tail = redis.call('GET', KEY.tail)
  if tail then return tail end
  touch(KEY.tail)
  local last = redis.call('XREVRANGE', KEY.events, '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0-0'
end

-- Whether an event carries the stream's metadata, as in Draft::new.
local function carries_metadata(kind, previous_status)
  if kind == 'participant_count_updated' then return false end
  return not is_large_metadata or kind == 'stream_created'
    or (kind == 'stream_updated' and not previous_status)
end

-- Continues the total of the log of all streams from its newest entry, because the counter is new or has expired.
local function restore_total_of_all(size)
  local newest = redis.call('XREVRANGE', KEY.events, '+', '-', 'COUNT', 1)[1]
  return newest and redis.call('INCRBY', KEY.events_bytes, total_of(newest)) or size
end

-- Adds what the events of this call tell to the number of active participants of all streams. The stream's part of it
-- is where `renew_and_prune.lua` finds it if the stream is lost.
local function tell_total()
  local count = active_count()
  if count == told_count then return end
  local change = count - told_count
  if redis.call('INCRBY', KEY.participant_total, integer(change)) == change then touch(KEY.participant_total) end
  if count == 0 then
    redis.call('HDEL', KEY.participant_counts, stream.id)
  elseif redis.call('HSET', KEY.participant_counts, stream.id, integer(count)) == 1 then
    touch(KEY.participant_counts)
  end
  told_count = count
end

-- Brings the fields that every event changes to an event of this kind.
local function advance_version(kind)
  stream.version, stream.updatedAt = integer(stream.version + 1), now_text
  stream.countEvents = kind == 'participant_count_updated' and integer(stream.countEvents + 1) or '0'
  if is_counted() then stream.viewers, stream.peak = stream.currentViewers, stream.currentPeak end
  tell_total()
end

-- A member of a JSON object behind others; '' for an absent value.
local function member(name, value) return value and ',"' .. name .. '":' .. cjson.encode(value) or '' end

-- Gives an event its cursor, appends it to both logs and publishes it on both channels. `removed` is true if the
-- participant's entry is not in the stream's documents after the event, `by` the identity of the caller, `identity`
-- that of a block, `ingress` the JSON of an ingress, `egress` that of a recording or broadcast.
local function emit(kind, participant, removed, previous_status, reason, by, identity, ingress, egress)
  local newest, previous = newest_cursor(), stream.cursor
  local cursor = next_cursor(newest)
  advance_version(kind)
  local event = '{"kind":"' .. kind .. '","cursor":"' .. cursor .. '","previous":"' .. previous
    .. '","previousOfAll":"' .. newest .. '","timestamp":' .. now_text
    .. ',"stream":' .. stream_json(carries_metadata(kind, previous_status))
    .. (participant and ',"participant":' .. json_of(participant) or '') .. member('removed', removed)
    .. member('previousStatus', previous_status) .. member('reason', reason) .. member('by', by)
    .. member('identity', identity) .. (ingress and ',"ingress":' .. ingress or '')
    .. (egress and ',"egress":' .. egress or '') .. '}'
  local size = #event
  local total, total_of_all = stream.logBytes + size, redis.call('INCRBY', KEY.events_bytes, integer(size))
  if total_of_all == size then
    touch(KEY.events)
    touch(KEY.events_bytes)
    total_of_all = restore_total_of_all(size)
  end
  stream.cursor, stream.logBytes = cursor, integer(total)
  redis.call('XADD', KEY.log, cursor, 'previous', previous, 'total', stream.logBytes, 'event', event)
  redis.call('XADD', KEY.events, cursor, 'previous', newest, 'total', integer(total_of_all), 'event', event)
  redis.call('SET', KEY.tail, cursor, 'KEEPTTL')
  redis.call('SPUBLISH', KEY.log, event)
  redis.call('SPUBLISH', KEY.events, event)
  if total % BLOCK < size then trim(KEY.log, total, 1, 1) end
  if total_of_all % BLOCK < size then
    trim(KEY.events, total_of_all, CONST.all_log_events_factor, CONST.all_log_bytes_factor, kept_after())
  end
end
