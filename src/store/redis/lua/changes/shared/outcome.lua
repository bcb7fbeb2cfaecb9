-- What a call writes besides participants.
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
  local previous, list_key = stream.status, stream_list_key()
  redis.call('ZREM', STATUS_INDEX[previous], list_key)
  redis.call('ZADD', STATUS_INDEX[status], '0', list_key)
  if status == 'stopped' then redis.call('ZREM', KEY.live_streams, list_key) end
  stream.status = status
  if is_ended() then
    -- A stream that never was active has no join tokens, so a room of its name belongs to another tool.
    if stream.roomSid ~= '' then
      redis.call('ZADD', KEY.closed_rooms, integer(now + ARG.token_ttl_ms), stream.roomName)
    end
    redis.call('ZADD', KEY.ended_streams, now_text, list_key)
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
    if redis.call('ZADD', KEY.scheduled, at, job .. stream.id) == 1 then touch(KEY.scheduled) end
  else
    redis.call('ZREM', KEY.scheduled, job .. stream.id)
  end
end

-- Schedules the removal of the next joining participant whose token was not used.
local function schedule_expiry()
  schedule_at(CONST.joining_job, redis.call('ZRANGE', KEY.joining, '0', '0', 'WITHSCORES')[2])
end

-- Asks for the job that removes a joining participant whose token is not used until a time.
local next_expiry
local function expire_token_at(time) next_expiry = math.min(next_expiry or time, time) end

-- Schedules the job of the tokens of this call. The job of an earlier token runs first, and schedules itself again.
local function schedule_tokens()
  local job = CONST.joining_job .. stream.id
  if redis.call('ZADD', KEY.scheduled, 'LT', integer(next_expiry), job) == 1 then touch(KEY.scheduled) end
end

-- Schedules the jobs whose times this change may have moved.
local function schedule()
  local has_moved = stream.status ~= stored_status
  if has_moved then schedule_expiry() end
  if has_moved or stream.emptySince ~= stored_empty_since then
    local idle = idle_at()
    schedule_at(CONST.idle_job, idle and integer(idle))
  end
  if has_moved or stream.lockedUntil ~= stored_locked_until then
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
    KEY.participants, KEY.joining, KEY.joining_order, KEY.active_order, KEY.disconnected_order,
    KEY.recorder_order, KEY.hidden_order, KEY.tombstones, KEY.log, KEY.unlisted, KEY.agents, KEY.roles, KEY.blocks,
    KEY.blocks_order, KEY.blocks_expiring, KEY.ingresses, KEY.ingress_plans, KEY.egresses,
    KEY.egress_plans, KEY.egress_addresses,
  }, is_ended() and own_ttl + CONST.removal_grace_ms or own_ttl)
  if not is_ended() or redis.call('GET', KEY.room) == 'ended:' .. stream.id then
    redis.call('PEXPIRE', KEY.room, own_ttl)
  end
  expire({
    KEY.scheduled, KEY.scheduled_counts, KEY.participant_total, KEY.participant_counts, KEY.events, KEY.events_bytes,
    KEY.visits, KEY.tail,
  }, ARG.live_ttl_ms)
end

-- Renewing all keys takes a quarter of a change's time, so most changes give a TTL only to keys that are new.
local function renew_touched()
  for key in pairs(touched) do redis.call('PEXPIRE', key, ARG.live_ttl_ms, 'NX') end
  touched = {}
end

local function renew_ttls()
  if is_ended() or redis.call('PTTL', KEY.stream) < ARG.live_ttl_ms * RENEW_BELOW then return renew_all() end
  renew_touched()
end

-- Makes a listed stream counted, for good, if it has more viewers than its bound.
local function flip()
  if is_counted() or stream.listedMax == '' or tonumber(stream.viewers) <= tonumber(stream.listedMax) then return end
  stream.audience, stream.currentViewers, stream.currentPeak = 'counted', stream.viewers, stream.peak
  emit('stream_updated')
end

-- The time from which the next event of a counted stream may tell its counts.
local function counts_due_at() return stream.updatedAt + ARG.count_interval_ms end

-- Whether a counted stream does not tell its counts yet, so that a change in the audience has no event.
local function is_silent() return is_counted() and stream.status == 'active' and counts_due_at() > now end

-- Asks for the next event of a counted stream. A change outside of events changes the number of viewers by one, so a
-- greater difference is scheduled already.
local has_new_counts = false
local function schedule_counts()
  has_new_counts = has_new_counts or math.abs(stream.currentViewers - stream.viewers) == 1
end

-- Tells the counts of a counted stream that are not those of its newest event, or schedules that.
local function settle_counts()
  if is_silent() then return schedule_counts() end
  if is_counted() and stream.status == 'active' and stream.currentViewers ~= stream.viewers then
    emit('participant_count_updated')
  end
end

-- Writes what the changes of this call have changed besides participants. Only this writes the fields of `stream`.
local function write()
  local due = has_new_counts and integer(counts_due_at())
  if due and redis.call('ZADD', KEY.scheduled_counts, due, stream.id) == 1 then touch(KEY.scheduled_counts) end
  if next_expiry then schedule_tokens() end
  save()
  local is_moved = stream.status ~= stored_status or stream.emptySince ~= stored_empty_since
  if is_moved or stream.lockedUntil ~= stored_locked_until then schedule() end
  renew_ttls()
end
