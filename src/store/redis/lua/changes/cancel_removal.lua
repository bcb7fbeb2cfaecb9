-- Withdraws a removal that LiveKit has not made.
local p = participant(ARG.identity)
if not p or not p.removing or p.sid ~= ARG.participant_sid then return unchanged(p) end
p.removing = nil
remove_joining(p.identity)
put(p, position(p))
return changed(p)
