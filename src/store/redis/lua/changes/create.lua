-- Records a stream with the status 'creating', unless a live stream owns the room name.
-- Answer {'changed', stream, ''}, {'existing', id} for a taken room name or id, or {'room_locked'} while an orphaned
-- room of that name is being deleted.
if redis.call('EXISTS', KEY.stream) == 1 then return { 'existing', ARG.stream_id } end
local owner = live_owner_of(KEY.room)
if owner then return { 'existing', owner } end
if redis.call('EXISTS', KEY.room_lock) == 1 then return { 'room_locked' } end

base_fields = {
  id = ARG.stream_id, roomName = ARG.room_name, roomSid = '', idleAfter = ARG.idle_after_ms, createdAt = now_text,
  startedAt = '', liveAt = '', stoppedAt = '', reason = '',
}
stream = {
  status = 'creating', audience = ARG.audience, maxParticipants = ARG.max_participants, listedMax = ARG.listed_max,
  hosts = '0', viewers = '0', peak = '0', currentViewers = '0', currentPeak = '0', uncounted = '0',
  updatedAt = now_text, emptySince = '', version = '0', countEvents = '0', cursor = '0-0', logBytes = '0',
  backstage = ARG.backstage, blocks = '',
}
for name, value in pairs(base_fields) do stream[name] = value end
lock()
local list_key = stream_list_key()
redis.call('SET', KEY.room, 'live:' .. stream.id)
redis.call('HSET', KEY.stream, 'roomName', stream.roomName)
set_metadata(ARG.metadata)
redis.call('ZREM', KEY.closed_rooms, stream.roomName)
redis.call('ZADD', KEY.all_streams, '0', list_key)
redis.call('ZADD', KEY.live_streams, '0', list_key)
redis.call('ZADD', KEY.creating_streams, '0', list_key)
renew_lists()
emit('stream_created')
return changed()
