-- Records that the stream's room exists.
if stream.status == 'active' and stream.roomSid == ARG.room_sid then return unchanged() end
if stream.status ~= 'creating' then return invalid_transition('active') end
stream.roomSid, stream.startedAt, stream.lockedUntil = ARG.room_sid, integer(now), ''
if stream.backstage ~= '1' then stream.liveAt = stream.startedAt end
if active_count() == 0 then stream.emptySince = integer(now) end
move_to('active', 'stream_updated')
return changed()
