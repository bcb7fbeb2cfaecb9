-- Records that LiveKit is about to be asked for the removal of a session. Its departure then is the removal.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local p = participant(ARG.identity)
if not p then return rejected('participant', '') end
if p.state ~= 'active' or p.sid ~= ARG.participant_sid then return unchanged(p) end
p.removing = ARG.by
-- A removal ends something, so its first write must not use memory, see outcome.lua.
remove_joining(p.identity)
put(p, position(p))
return changed(p)
