-- Recordings and broadcasts: the hash `egresses` by LiveKit's id, and the hash `egress_plans` of intents by job. As
-- domain/egress_record.rs. `outputs`, `spec`, `files` and `hls` are JSON in a text, which no script reads.

local function is_over(status)
  return status == 'complete' or status == 'failed' or status == 'aborted' or status == 'limit_reached'
end

-- The field of the stream with the number of egresses of a kind that run; absent or '' for none.
local function flag_of(kind) return kind == 'recording' and 'recording' or 'broadcasting' end
local function count_running(kind, change)
  local flag = flag_of(kind)
  local count = (tonumber(stream[flag]) or 0) + change
  stream[flag] = count > 0 and integer(count) or ''
end
local function has_most_egresses(pending)
  local running = (tonumber(stream.recording) or 0) + (tonumber(stream.broadcasting) or 0)
  return running + pending >= CONST.max_running_egresses
end

local function egress_of(id)
  local json = redis.call('HGET', KEY.egresses, id)
  if json then return cjson.decode(json) end
end

-- The record of an egress that LiveKit reports, without its state.
local function new_egress(reported, spec, job)
  return {
    egressId = reported.egressId, kind = reported.kind, outputs = reported.outputs, spec = spec, job = job,
    hasPlaylist = reported.hasPlaylist, status = reported.status, lastTarget = '0', reportedTargets = '0',
    phase = '0', report = '0', createdAt = now_text, statusSince = now_text, changedAt = now_text,
  }
end

-- The id of the oldest record that ended, if another one needs its place.
local function egress_to_forget()
  if redis.call('HLEN', KEY.egresses) < CONST.max_kept_egresses then return end
  local oldest
  for _, record in ipairs(decoded(KEY.egresses)) do
    local key = string.format('%016d', record.createdAt) .. ':' .. record.egressId
    if is_over(record.status) and (not oldest or key < oldest.key) then
      oldest = { key = key, id = record.egressId }
    end
  end
  return oldest and oldest.id
end

-- What a reader sees and a report can change, as a text.
local function shown_egress(record)
  local shown = {
    record.status, record.error or '', record.startedAt or '', record.endedAt or '', record.files or '',
    record.hls or '',
  }
  for _, target in ipairs(record.targets or {}) do
    for _, value in ipairs({ target.id, target.url, target.status, target.error or '' }) do
      shown[#shown + 1] = value
    end
  end
  return cjson.encode(shown)
end

-- Writes a record that shows what it showed before.
local function store_egress(record) redis.call('HSET', KEY.egresses, record.egressId, cjson.encode(record)) end

-- Sets the status, and ends the targets with the egress.
local function turn_egress(record, status)
  if status ~= record.status then record.statusSince, record.recorderMissingSince = now_text, nil end
  record.status, record.changedAt = status, now_text
  if is_over(status) then end_targets(record) end
end

-- Brings a record to a report.
local function update_egress(record, reported)
  local targets = reported.targets or {}
  if record.kind == 'broadcast' then merge_targets(record, targets) end
  record.reportedTargets = integer(#targets)
  for _, field in ipairs(CONST.egress_state_fields) do record[field] = reported[field] end
  turn_egress(record, reported.status)
end

-- Writes the record of an egress and emits its event, which the log of visits takes the place of after the end of the
-- stream. The end of an egress begins with a write that does not use memory, see outcome.lua.
local function put_egress(record, was_running, by)
  local runs, json = not is_over(record.status), cjson.encode(record)
  if not runs then redis.call('HDEL', KEY.egress_addresses, record.egressId) end
  if redis.call('HSET', KEY.egresses, record.egressId, json) == 1 then touch(KEY.egresses) end
  if is_ended() then
    if record.kind == 'recording' then log_recording(json) end
    return
  end
  if runs ~= was_running then count_running(record.kind, runs and 1 or -1) end
  emit(record.kind .. '_updated', nil, nil, nil, nil, by, nil, nil, json)
end

-- Ends a change of an egress. A change after the end of the stream does not renew the TTLs of the stream's keys.
local function changed_egress()
  if not is_ended() then return changed() end
  renew_touched()
  record_dedup_key()
  return answer('changed')
end

-- Ends the stream's part in its egresses: their records stay.
local function end_egresses()
  redis.call('UNLINK', KEY.egress_plans)
  if (stream.recording or '') ~= '' then stream.recording = '' end
  if (stream.broadcasting or '') ~= '' then stream.broadcasting = '' end
end
