-- Renews the TTLs of live streams and removes streams that no longer exist from the lists, one page for each call.
-- `from` is '-', or '(' and the last list key of the page before.
-- Answer {the list key to continue after or '', number of renewed streams, number of removed streams}
local renewed, removed, recount = 0, 0, false
local lists = {
  KEY.all_streams, KEY.live_streams, KEY.creating_streams, KEY.active_streams, KEY.stopping_streams,
  KEY.stopped_streams, KEY.error_streams, KEY.ended_streams,
}
local jobs = { CONST.joining_job, CONST.idle_job, CONST.operation_job }

local function remove(list_key)
  -- An ended stream expires a moment before `scheduled.lua` removes it; it does not count as lost.
  if not redis.call('ZSCORE', KEY.ended_streams, list_key) then removed = removed + 1 end
  recount = recount or redis.call('ZSCORE', KEY.live_streams, list_key)
  for _, list in ipairs(lists) do redis.call('ZREM', list, list_key) end
  for _, job in ipairs(jobs) do redis.call('ZREM', KEY.scheduled, job .. stream_id_of(list_key)) end
end

local function renew(stream_key)
  local status, room = unpack(redis.call('HMGET', stream_key, 'status', 'roomName'))
  if status == 'error' then return end
  for _, suffix in ipairs(CONST.stream_key_suffixes) do
    redis.call('PEXPIRE', stream_key .. suffix, ARG.live_ttl_ms)
  end
  redis.call('PEXPIRE', ARG.room_key_prefix .. room, ARG.live_ttl_ms)
  renewed = renewed + 1
end

local page = redis.call('ZRANGE', KEY.all_streams, ARG.from, '+', 'BYLEX', 'LIMIT', 0, ARG.limit)
for _, list_key in ipairs(page) do
  local stream_key = ARG.stream_key_prefix .. stream_id_of(list_key)
  local ttl = redis.call('PTTL', stream_key)
  if ttl == -2 then
    remove(list_key)
  -- A stream with half of its TTL left is renewed by a later call.
  elseif ttl < ARG.live_ttl_ms / 2 and redis.call('ZSCORE', KEY.live_streams, list_key) then
    renew(stream_key)
  end
end
for _, list in ipairs(lists) do redis.call('PEXPIRE', list, ARG.live_ttl_ms) end
for _, key in ipairs({ KEY.scheduled, KEY.participant_total, KEY.events, KEY.events_bytes, KEY.tail }) do
  redis.call('PEXPIRE', key, ARG.live_ttl_ms)
end
-- The number of participants of a removed stream is unknown, so all are counted again. This is rare and may take long.
if recount then
  local total = 0
  for _, list_key in ipairs(redis.call('ZRANGE', KEY.live_streams, 0, -1)) do
    total = total + redis.call('SCARD', ARG.stream_key_prefix .. stream_id_of(list_key) .. CONST.active_suffix)
  end
  redis.call('SET', KEY.participant_total, total, 'PX', ARG.live_ttl_ms)
end
return { #page == tonumber(ARG.limit) and page[#page] or '', renewed, removed }
