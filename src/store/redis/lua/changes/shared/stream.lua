-- The stream's fields as texts, '' for an absent value. The hash has those that most changes use as one text (`state`),
-- and the others as a JSON object (`base`), which is decoded when a script first names one of them. Metadata is a field
-- of its own, see `set_metadata`.
local stream = {}
-- The texts as the hash has them before the change; nil for a new stream.
local stored_state, stored_base, stored_current
-- The fields of `base` by name; nil until a script names one of them.
local base_fields
-- Three fields as they are before the change, whose changes move scheduled jobs.
local stored_status, stored_empty_since, stored_locked_until
-- The number of active participants as of the newest event.
local told_count = 0

local function load_base()
  base_fields = cjson.decode(stored_base)
  for name, value in pairs(base_fields) do rawset(stream, name, value) end
end

local FIELDS = {
  __index = function(_, name)
    if base_fields then return nil end
    load_base()
    return rawget(stream, name)
  end,
  __newindex = function(_, name, value)
    if not base_fields then load_base() end
    base_fields[name] = value
    rawset(stream, name, value)
  end,
}

-- Whether the stream's room has this sid. A quotation mark within a text of `base` is escaped, so the field's name is
-- not part of a value.
local function has_room(sid) return stored_base:find('"roomSid":' .. cjson.encode(sid), 1, true) ~= nil end

-- Sets the fields of the hash's `state`; codec/stream_hash.rs has the same order.
local function read_state(text)
  local cursor, version, count_events, updated_at, status, audience, hosts, viewers, peak, uncounted, empty_since,
    locked_until, log_bytes, max_participants, listed_max, backstage, blocks = text:match(
    '^(%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*) (%S*)$')
  stored_status, stored_empty_since, stored_locked_until = status, empty_since, locked_until
  stream = setmetatable({
    id = ARG.stream_id, cursor = cursor, version = version, countEvents = count_events, updatedAt = updated_at,
    status = status, audience = audience, hosts = hosts, viewers = viewers, peak = peak, uncounted = uncounted,
    emptySince = empty_since, lockedUntil = locked_until, logBytes = log_bytes, maxParticipants = max_participants,
    listedMax = listed_max, backstage = backstage, blocks = blocks, currentViewers = '0', currentPeak = '0',
  }, FIELDS)
end

local function state_text()
  local s = stream
  return s.cursor .. ' ' .. s.version .. ' ' .. s.countEvents .. ' ' .. s.updatedAt .. ' ' .. s.status .. ' '
    .. s.audience .. ' ' .. s.hosts .. ' ' .. s.viewers .. ' ' .. s.peak .. ' ' .. s.uncounted .. ' ' .. s.emptySince
    .. ' ' .. s.lockedUntil .. ' ' .. s.logBytes .. ' ' .. s.maxParticipants .. ' ' .. s.listedMax
    .. ' ' .. s.backstage .. ' ' .. s.blocks
end

local function base_text()
  if not base_fields then return stored_base end
  for name in pairs(base_fields) do base_fields[name] = stream[name] end
  return cjson.encode(base_fields)
end

-- The metadata's text as JSON. Large metadata is a field of its own, so that only a change that needs it reads it.
local metadata_json
local function metadata()
  metadata_json = metadata_json or redis.call('HGET', KEY.stream, 'largeMetadata')
  return metadata_json
end

-- Sets the metadata, and for large metadata the number of bytes that `list_streams.lua` adds to a page.
local is_large_metadata = false
local function set_metadata(text)
  metadata_json, is_large_metadata = cjson.encode(text), #text > CONST.max_repeated_metadata_bytes
  if is_large_metadata then
    redis.call('HSET', KEY.stream, 'largeMetadata', metadata_json, 'metadataBytes', integer(#text))
    redis.call('HDEL', KEY.stream, 'metadata')
  else
    redis.call('HSET', KEY.stream, 'metadata', metadata_json)
    redis.call('HDEL', KEY.stream, 'largeMetadata', 'metadataBytes')
  end
end

-- The public fields as JSON.
local function stream_json(has_metadata)
  local s = stream
  return base_text():sub(1, -2) .. ',"version":"' .. s.version .. '","countEvents":"' .. s.countEvents
    .. '","updatedAt":"' .. s.updatedAt .. '","status":"' .. s.status .. '","audience":"' .. s.audience
    .. '","hosts":"' .. s.hosts .. '","viewers":"' .. s.viewers .. '","peak":"' .. s.peak .. '","uncounted":"'
    .. s.uncounted .. '","emptySince":"' .. s.emptySince .. '","lockedUntil":"' .. s.lockedUntil
    .. '","maxParticipants":"' .. s.maxParticipants .. '","backstage":"' .. s.backstage
    .. (s.blocks ~= '' and '","blocks":"' .. s.blocks or '')
    .. (has_metadata and '","metadata":' .. metadata() .. '}' or '"}')
end

-- Loads the stream; returns false if it does not exist.
local function load()
  local state, base, small_metadata, current =
    unpack(redis.call('HMGET', KEY.stream, 'state', 'base', 'metadata', 'current'))
  if not state then return false end
  stored_state, stored_base, stored_current = state, base, current
  metadata_json, is_large_metadata = small_metadata or nil, not small_metadata
  read_state(state)
  if current then stream.currentViewers, stream.currentPeak = current:match('^(%S*) (%S*)$') end
  told_count = stream.hosts + stream.viewers
  return true
end

-- Writes the fields that have changed.
local function save()
  local changed_fields, state = {}, state_text()
  if state ~= stored_state then changed_fields = { 'state', state } end
  local count = #changed_fields
  if base_fields then
    changed_fields[count + 1], changed_fields[count + 2] = 'base', base_text()
    count = count + 2
  end
  if stream.audience == 'counted' then
    local current = stream.currentViewers .. ' ' .. stream.currentPeak
    if current ~= stored_current then
      changed_fields[count + 1], changed_fields[count + 2] = 'current', current
      count = count + 2
    end
  end
  if count > 0 then redis.call('HSET', KEY.stream, unpack(changed_fields)) end
end

-- As list_keys.lua has it.
local function stream_list_key() return string.format('%016d', stream.createdAt) .. ':' .. stream.id end

-- Keys that this call may have created, and that therefore may lack a TTL.
local touched = {}
local function touch(key) touched[key] = true end

-- The JSON of the participant that was written last, because its event and the answer have it too.
local written, written_json
local function json_of(p) return p == written and written_json or cjson.encode(p) end

local function is_under_way() return stream.status == 'creating' or stream.status == 'stopping' end
local function is_ended() return stream.status == 'stopped' or stream.status == 'error' end

-- In a counted stream `viewers` and `peak` are as of the newest event, `currentViewers` and `currentPeak` as of now. In
-- a listed one every change of them is an event.
local function is_counted() return stream.audience == 'counted' end

-- The number of active participants that count.
local function active_count() return stream.hosts + (is_counted() and stream.currentViewers or stream.viewers) end

-- Whether the stream has a version that the change requires, or only counts were told since.
local function meets_version(required)
  return required <= tonumber(stream.version) and required >= stream.version - stream.countEvents
end

-- The time at which an empty stream has been idle for too long; nil for a stream that does not stop when idle.
local function idle_at()
  local is_idle = stream.status == 'active' and stream.emptySince ~= '' and stream.idleAfter ~= ''
  return is_idle and stream.emptySince + stream.idleAfter or nil
end

local function lock() stream.lockedUntil = integer(now + CONST.operation_lock_ms) end

-- Whether the operation lock still is the one that ended at `known` when its holder last learned its end. A renewal
-- whose answer was lost moved the end while the lock was held. Another holder cannot have the lock before `known`, so
-- its lock ends later.
local function holds_lock(known)
  local ends = tonumber(stream.lockedUntil)
  return is_under_way() and ends and ends >= tonumber(known) and ends < known + CONST.operation_lock_ms
end
