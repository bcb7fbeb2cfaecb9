-- The stream's fields as its hash has them: texts, '' for an absent value.
local stream = {}
-- The fields as the hash has them before the change: name, value, name, value, ...
local stored = {}
-- The number of active participants as of the newest event.
local told_count = 0

-- Loads the fields; returns false if the stream does not exist.
local function load()
  stored = redis.call('HGETALL', KEY.stream)
  for i = 1, #stored, 2 do stream[stored[i]] = stored[i + 1] end
  if #stored == 0 then return false end
  told_count = stream.hosts + stream.viewers
  return true
end

-- Keys that this call may have created, and that therefore may lack a TTL.
local touched = {}
local function touch(key) touched[#touched + 1] = key end

-- Whether `KEY.joining` has changed, whose first entry is the time of a job.
local joining_moved = false

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

-- Sets the metadata, and the number of bytes that `list_streams.lua` adds to a page; '' for small metadata.
local function set_metadata(text)
  stream.metadata = text
  stream.metadataBytes = #text > CONST.max_repeated_metadata_bytes and integer(#text) or ''
end

local function lock() stream.lockedUntil = integer(now + CONST.operation_lock_ms) end

-- Whether the operation lock still is the one that ended at `known` when its holder last learned its end. A renewal
-- whose answer was lost moved the end while the lock was held. Another holder cannot have the lock before `known`, so
-- its lock ends later.
local function holds_lock(known)
  local ends = tonumber(stream.lockedUntil)
  return is_under_way() and ends and ends >= tonumber(known) and ends < known + CONST.operation_lock_ms
end
