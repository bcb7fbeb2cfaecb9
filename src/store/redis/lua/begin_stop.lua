-- The stream's room is about to be deleted, or already is.
-- ARGV  1 reason ('idle' only if it really is), 2 room sid that the stream must have, or ''
if s.status == 'stopping' or is_final() then return unchanged() end
if arg(2) ~= '' and s.roomSid ~= arg(2) then return unchanged() end
if arg(1) == 'idle' then
  local idle = s.status == 'active' and s.emptySince ~= '' and s.idleAfter ~= ''
  if not idle or s.emptySince + s.idleAfter > now then return unchanged() end
end
if s.status ~= 'active' then return no_such_move('stopping') end
s.reason, s.claimedUntil = arg(1), integer(now + CLAIM_MS)
move_to('stopping', 'stream_updated')
return changed()
