-- Records a stream with the status 'creating', unless a live stream owns the room name.
-- Answer {'changed', stream, ''}, {'existing', id} for a taken room name or id, or {'room_locked'} while an orphaned
-- room of that name is being deleted.
if redis.call('EXISTS', KEY.stream) == 1 then return { 'existing', ARG.stream_id } end
local owner = live_owner_of(KEY.room)
if owner then return { 'existing', owner } end
if redis.call('EXISTS', KEY.room_lock) == 1 then return { 'room_locked' } end

stream = {
  id = ARG.stream_id, roomName = ARG.room_name, roomSid = '', status = 'creating',
  maxParticipants = ARG.max_participants, idleAfter = ARG.idle_after_ms, audience = ARG.audience,
  listedMax = ARG.listed_max, hosts = '0', viewers = '0', peak = '0', currentViewers = '0', currentPeak = '0',
  uncounted = '0', backstage = ARG.backstage, liveAt = '',
  createdAt = integer(now), startedAt = '', updatedAt = integer(now), stoppedAt = '', emptySince = '', reason = '',
  version = '0', countEvents = '0', cursor = '0-0', revision = '', logBytes = '0',
  listKey = string.format('%016d', now) .. ':' .. ARG.stream_id,
}
set_metadata(ARG.metadata)
lock()
-- No field is stored yet. The fields that pages of lists read are first, because Redis searches a small hash from its
-- start.
local fields, is_first = { 'metadataBytes', unpack(CONST.state_version_fields) }, {}
for i = 1, #fields do is_first[fields[i]] = true end
for field in pairs(stream) do
  if not is_first[field] then fields[#fields + 1] = field end
end
for i = 1, #fields do stored[#stored + 1], stored[#stored + 2] = fields[i], false end
redis.call('SET', KEY.room, 'live:' .. stream.id)
redis.call('ZREM', KEY.closed_rooms, stream.roomName)
redis.call('ZADD', KEY.all_streams, 0, stream.listKey)
redis.call('ZADD', KEY.live_streams, 0, stream.listKey)
redis.call('ZADD', KEY.creating_streams, 0, stream.listKey)
renew_lists()
emit('stream_created')
return changed()
