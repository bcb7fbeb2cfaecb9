-- Locks the name of an ended stream's room, so that no stream is created under it while an orphaned room of that name
-- is deleted.
-- Answer 1 if the name is locked: no live stream owns it, and a join token for the room may still be valid
if live_owner_of(KEY.room) then return 0 end
local tokens_expire_at = redis.call('ZSCORE', KEY.closed_rooms, ARG.room_name)
if not tokens_expire_at or tonumber(tokens_expire_at) <= now then return 0 end
return redis.call('SET', KEY.room_lock, '1', 'NX', 'PX', ARG.ttl_ms) and 1 or 0
