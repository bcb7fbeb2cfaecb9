-- The stream's room exists.
-- ARGV  1 room sid
if s.status == 'active' and s.roomSid == arg(1) then return unchanged() end
if s.status ~= 'creating' then return no_such_move('active') end
s.roomSid, s.startedAt, s.claimedUntil = arg(1), integer(now), ''
if s.count == '0' then s.emptySince = integer(now) end
move_to('active', 'stream_updated')
return changed()
