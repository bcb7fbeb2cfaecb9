-- Begins to stop the stream: its room will be deleted, or already is. Does nothing if the stream has another room than
-- `room_sid`, or if the reason is 'idle' and the stream is not.
if stream.status == 'stopping' or is_ended() then return unchanged() end
if ARG.room_sid ~= '' and stream.roomSid ~= ARG.room_sid then return unchanged() end
if ARG.reason == 'idle' then
  local idle = idle_at()
  if not idle or idle > now then return unchanged() end
end
if stream.status ~= 'active' then return invalid_transition('stopping') end
stream.reason = ARG.reason
lock()
move_to('stopping', 'stream_updated')
return changed()
