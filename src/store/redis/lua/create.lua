-- Records a stream in status 'creating', unless a live one holds the room name.
-- ARGV  1 room name, 2 metadata, 3 most participants or '', 4 milliseconds it may be idle or ''
-- Answer {'changed', stream, ''}, {'existing', id} also for the id that was given, or {'held'} while a room of that name is being deleted.
if redis.call('EXISTS', K.stream) == 1 then return { 'existing', ARGV[1] } end
local holder = redis.call('GET', K.room)
if holder and holder:sub(1, 5) == 'live:' then return { 'existing', holder:sub(6) } end
if redis.call('EXISTS', K.hold) == 1 then return { 'held' } end

s = {
  id = ARGV[1], roomName = arg(1), roomSid = '', status = 'creating', metadata = arg(2), maxParticipants = arg(3),
  idleAfter = arg(4), count = '0', peak = '0', others = '0', createdAt = integer(now), startedAt = '', updatedAt = integer(now),
  stoppedAt = '', emptySince = '', claimedUntil = integer(now + CLAIM_MS), reason = '', version = '0', cursor = '0-0',
  listKey = string.format('%016.0f', now) .. ':' .. ARGV[1],
}
redis.call('SET', K.room, 'live:' .. s.id)
redis.call('ZREM', K.closed, arg(1))
for _, index in ipairs({ K.all, K.live, K.status.creating }) do redis.call('ZADD', index, 0, s.listKey) end
emit('stream_created')
return changed()
