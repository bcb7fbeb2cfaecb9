-- Renews the TTLs of live streams and removes streams that no longer exist from the lists, one page for each call. The
-- page ends after `limit` streams, or after MAX_CHANGED that were renewed or removed.
-- `from` is '-', or '(' and the last list key of the page before.
-- Answer {the list key to continue after or '', number of renewed streams, number of removed streams}
local MAX_CHANGED = 100
local renewed, removed, changed = 0, 0, 0
local lists = {
  KEY.all_streams, KEY.live_streams, KEY.creating_streams, KEY.active_streams, KEY.stopping_streams,
  KEY.stopped_streams, KEY.error_streams, KEY.ended_streams,
}
local jobs = { CONST.joining_job, CONST.block_job, CONST.idle_job, CONST.operation_job }

local function remove(list_key)
  -- An ended stream expires a moment before `scheduled.lua` removes it; it does not count as lost.
  if not redis.call('ZSCORE', KEY.ended_streams, list_key) then removed = removed + 1 end
  local id = stream_id_of(list_key)
  local count = redis.call('HGET', KEY.participant_counts, id)
  if count then
    redis.call('INCRBY', KEY.participant_total, -count)
    redis.call('HDEL', KEY.participant_counts, id)
  end
  for _, list in ipairs(lists) do redis.call('ZREM', list, list_key) end
  redis.call('ZREM', KEY.scheduled_counts, id)
  for _, job in ipairs(jobs) do redis.call('ZREM', KEY.scheduled, job .. id) end
  unlink_stream(id)
end

local function renew(stream_key)
  local state, room = unpack(redis.call('HMGET', stream_key, 'state', 'roomName'))
  if state:find(' error ', 1, true) then return end
  for _, suffix in ipairs(CONST.stream_key_suffixes) do
    redis.call('PEXPIRE', stream_key .. suffix, ARG.live_ttl_ms)
  end
  redis.call('PEXPIRE', ARG.room_key_prefix .. room, ARG.live_ttl_ms)
  renewed = renewed + 1
end

local page = redis.call('ZRANGE', KEY.all_streams, ARG.from, '+', 'BYLEX', 'LIMIT', 0, ARG.limit)
local next_from = #page == tonumber(ARG.limit) and page[#page] or ''
for _, list_key in ipairs(page) do
  local stream_key = ARG.stream_key_prefix .. stream_id_of(list_key)
  local ttl = redis.call('PTTL', stream_key)
  if ttl == -2 then
    remove(list_key)
    changed = changed + 1
  -- A stream with half of its TTL left is renewed by a later call.
  elseif ttl < ARG.live_ttl_ms / 2 and redis.call('ZSCORE', KEY.live_streams, list_key) then
    renew(stream_key)
    changed = changed + 1
  end
  if changed == MAX_CHANGED then
    next_from = list_key
    break
  end
end
for _, list in ipairs(lists) do redis.call('PEXPIRE', list, ARG.live_ttl_ms) end
local shared = {
  KEY.scheduled, KEY.scheduled_counts, KEY.participant_total, KEY.participant_counts, KEY.events, KEY.events_bytes,
  KEY.visits, KEY.tail,
}
for _, key in ipairs(shared) do
  redis.call('PEXPIRE', key, ARG.live_ttl_ms)
end
return { next_from, renewed, removed }
