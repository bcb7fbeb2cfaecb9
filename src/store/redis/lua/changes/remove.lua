-- Records a removal, unless a report of LiveKit has completed it. A session that has begun since then stays, until
-- LiveKit has removed it too.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local p, sid = participant(ARG.identity), ARG.participant_sid
if not p then return rejected('participant', '') end
if sid ~= '' and p.removedSid == sid then return unchanged(p) end
complete_removal(p, sid ~= '' and sid)
-- A removal ends something, so its first write must not use memory, see outcome.lua.
remove_joining(p.identity)
if p.state == 'joining' or p.state == 'active' and p.sid == sid then
  end_visit(p, now, 'removed', false, ARG.by ~= '' and ARG.by or nil)
else
  put(p, position(p))
end
return changed(p)
