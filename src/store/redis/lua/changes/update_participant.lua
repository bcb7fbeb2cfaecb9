-- Changes a participant's role, name and metadata at a caller's request.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local p = participant(ARG.identity)
if not p then return rejected('participant', '') end
if ARG.metadata ~= '' and p.metadata ~= ARG.expected then return rejected('metadata', '') end
local old, was_told, old_role = position(p), is_told(p), p.role
local differs = false
local function set(field, value)
  differs = differs or p[field] ~= value
  p[field] = value
end
if ARG.role ~= '' then
  set('role', ARG.role)
  set('roleSet', true)
  -- A host has no raised hand.
  if p.role == 'host' then p.handRaisedAt = nil end
end
if ARG.name ~= '' then set('name', ARG.name) end
if ARG.metadata ~= '' then set('metadata', ARG.metadata) end
if not differs then return unchanged(p) end
if p.state == 'active' and counts(p) then
  count_role(old_role, -1)
  count_role(p.role, 1)
end
put(p, old)
tell('participant_updated', p, was_told, nil, ARG.by ~= '' and ARG.by or nil)
return changed(p)
