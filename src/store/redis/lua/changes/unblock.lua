-- Ends the block of an identity.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local p = participant(ARG.identity)
local json = is_blocked(ARG.identity)
if not json then return unchanged(p) end
end_block(ARG.identity, json, ARG.by ~= '' and ARG.by or nil)
schedule_unblocking()
return changed(p)
