-- The ends of every change. Answer {effect, stream, participant}: effect is 'changed', 'unchanged', 'partial' or
-- 'duplicate', the others are JSON, with '' for no participant. Or {'not_found'}, {'lease_lost'}, or
-- {'rejected', reason, detail}.
--
-- A full Redis (maxmemory) refuses a script at its first write if that may use more memory, and accepts all later
-- writes. So a change that adds data begins with a write that uses memory, and is refused as a whole. A change that
-- ends something begins with a write that does not.

local STATUS_INDEX = {
  creating = KEY.creating_streams, active = KEY.active_streams, stopping = KEY.stopping_streams,
  stopped = KEY.stopped_streams, error = KEY.error_streams,
}
-- After this time the sweeper continues an operation whose lock was released.
local RETRY_MS = 5000
-- A live stream's keys are renewed when a tenth of their TTL is over.
local RENEW_BELOW = 0.9

local function expire(keys, ttl)
  for i = 1, #keys do redis.call('PEXPIRE', keys[i], ttl) end
end

-- Renews the lists of streams. Only a change of the status writes them; the reconciler renews them meanwhile.
local function renew_lists()
  expire({
    KEY.all_streams, KEY.live_streams, KEY.creating_streams, KEY.active_streams, KEY.stopping_streams,
    KEY.stopped_streams, KEY.error_streams, KEY.ended_streams,
  }, ARG.live_ttl_ms)
  redis.call('PEXPIRE', KEY.closed_rooms, math.max(ARG.live_ttl_ms, ARG.token_ttl_ms))
end

local function move_to(status, kind)
  local previous = stream.status
  redis.call('ZREM', STATUS_INDEX[previous], stream.listKey)
  redis.call('ZADD', STATUS_INDEX[status], 0, stream.listKey)
  if status == 'stopped' then redis.call('ZREM', KEY.live_streams, stream.listKey) end
  stream.status = status
  if is_ended() then
    -- A stream that never was active has no join tokens, so a room of its name belongs to another tool.
    if stream.roomSid ~= '' then
      redis.call('ZADD', KEY.closed_rooms, now + ARG.token_ttl_ms, stream.roomName)
    end
    redis.call('ZADD', KEY.ended_streams, now, stream.listKey)
    if redis.call('GET', KEY.room) == 'live:' .. stream.id then
      redis.call('SET', KEY.room, 'ended:' .. stream.id)
    end
  end
  renew_lists()
  emit(kind, nil, nil, previous, stream.reason ~= '' and stream.reason or nil)
end

-- Schedules a job of the sweeper at a time; removes it if `at` is nil.
local function schedule_at(job, at)
  if at then
    redis.call('ZADD', KEY.scheduled, at, job .. stream.id)
    touch(KEY.scheduled)
  else
    redis.call('ZREM', KEY.scheduled, job .. stream.id)
  end
end

-- Schedules the jobs whose times this change may have moved. `is_changed` has the names of the changed fields.
local function schedule(is_changed)
  if joining_moved or is_changed.status then
    schedule_at(CONST.joining_job, redis.call('ZRANGE', KEY.joining, 0, 0, 'WITHSCORES')[2])
  end
  if is_changed.status or is_changed.emptySince then
    local idle = idle_at()
    schedule_at(CONST.idle_job, idle and integer(idle))
  end
  if is_changed.status or is_changed.lockedUntil then
    local unlocked_at = stream.lockedUntil ~= '' and stream.lockedUntil or integer(now + RETRY_MS)
    schedule_at(CONST.operation_job, is_under_way() and unlocked_at or nil)
  end
end

-- Renews the TTLs of all keys of the stream, and of the shared keys that its changes write.
local function renew_all()
  local own_ttl = is_ended() and ARG.stopped_ttl_ms or ARG.live_ttl_ms
  -- Without its hash a stream does not exist. The other keys may be large. `scheduled.lua` removes those of an ended
  -- stream without holding Redis, and their own TTL is the safety net.
  redis.call('PEXPIRE', KEY.stream, own_ttl)
  expire({
    KEY.participants, KEY.active, KEY.joining, KEY.joining_order, KEY.active_order, KEY.disconnected_order,
    KEY.recorder_order, KEY.hidden_order, KEY.tombstones, KEY.log, KEY.unlisted, KEY.agents,
  }, is_ended() and own_ttl + CONST.removal_grace_ms or own_ttl)
  if not is_ended() or redis.call('GET', KEY.room) == 'ended:' .. stream.id then
    redis.call('PEXPIRE', KEY.room, own_ttl)
  end
  expire({
    KEY.scheduled, KEY.scheduled_counts, KEY.participant_total, KEY.participant_counts, KEY.events, KEY.events_bytes,
  }, ARG.live_ttl_ms)
end

-- Renewing all keys takes a quarter of a change's time, so most changes give a TTL only to keys that are new.
local function renew_ttls()
  if is_ended() or redis.call('PTTL', KEY.stream) < ARG.live_ttl_ms * RENEW_BELOW then return renew_all() end
  for i = 1, #touched do redis.call('PEXPIRE', touched[i], ARG.live_ttl_ms, 'NX') end
end

local function answer(effect, p)
  return { effect, cjson.encode(stream), p and cjson.encode(p) or '' }
end

-- Records that the webhook or request was applied, and to which stream.
local function record_dedup_key()
  if ARG.dedup_ttl_ms ~= '' then redis.call('SET', KEY.dedup, stream.id, 'PX', ARG.dedup_ttl_ms) end
end

-- Ends a script that had nothing to change.
local function unchanged(p)
  record_dedup_key()
  return answer('unchanged', p)
end

-- Makes a listed stream counted, for good, if it has more viewers than its bound.
local function flip()
  if is_counted() or stream.listedMax == '' or tonumber(stream.viewers) <= tonumber(stream.listedMax) then return end
  stream.audience, stream.currentViewers, stream.currentPeak = 'counted', stream.viewers, stream.peak
  emit('stream_updated')
end

-- Tells the counts of a counted stream that are not those of its newest event, or schedules that. A change outside of
-- events changes the number of viewers by one, so a greater difference is scheduled already.
local function settle_counts()
  if not is_counted() or stream.status ~= 'active' then return end
  local untold = math.abs(stream.currentViewers - stream.viewers)
  if untold == 0 then return end
  local due = stream.updatedAt + ARG.count_interval_ms
  if due <= now then
    emit('participant_count_updated')
  elseif untold == 1 then
    redis.call('ZADD', KEY.scheduled_counts, integer(due), stream.id)
    touch(KEY.scheduled_counts)
  end
end

-- Ends a script that has changed something. Only this writes the fields of `stream`.
local function changed(p, effect)
  flip()
  settle_counts()
  local flat, is_changed = {}, {}
  for i = 1, #stored, 2 do
    local field = stored[i]
    if stream[field] ~= stored[i + 1] then
      flat[#flat + 1] = field
      flat[#flat + 1] = stream[field]
      is_changed[field] = true
    end
  end
  -- See StateVersion. The value is random, because an old master and a new one may both make changes for a moment.
  if is_changed.lockedUntil or is_changed.uncounted or is_changed.emptySince then
    flat[#flat + 1] = 'revision'
    flat[#flat + 1] = ARG.cursor_number
  end
  if #flat > 0 then redis.call('HSET', KEY.stream, unpack(flat)) end
  schedule(is_changed)
  renew_ttls()
  record_dedup_key()
  return answer(effect or 'changed', p)
end

local function rejected(reason, detail) return { 'rejected', reason, detail } end
local function invalid_transition(to) return rejected('transition', to .. ' ' .. stream.status) end
