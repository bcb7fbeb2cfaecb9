-- Records that a join token was issued: the participant counts as joining for a while.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
if is_blocked(ARG.identity) then return rejected('blocked', '') end
local known = participant(ARG.identity)
local recorded = ARG.role ~= '' and ARG.role or recorded_role(known, ARG.identity)
local role = recorded or 'host'
if stream.backstage == '1' and role == 'viewer' then return rejected('backstage', '') end
if known and known.state == 'active' then return unchanged(known) end
if stream.maxParticipants ~= '' and active_count() >= tonumber(stream.maxParticipants) then
  return rejected('full', stream.maxParticipants)
end
local p = { identity = ARG.identity, role = role, state = 'joining', joinedAt = now_text, metadata = '{}' }
p.roleSet = recorded and true or nil
if known then
  p.name, p.metadata, p.attributes, p.sessionAt = known.name, known.metadata, known.attributes, known.sessionAt
  p.lastJoinedAt = known.leftAt and known.joinedAt or known.lastJoinedAt
  p.lastLeftAt = known.leftAt or known.lastLeftAt
  p.handRaisedAt = role ~= 'host' and known.handRaisedAt or nil
  p.removals, p.removedSid = known.removals, known.removedSid
end
if ARG.name ~= '' then p.name = ARG.name end
if ARG.metadata ~= '' then p.metadata = ARG.metadata end
if ARG.attributes ~= '' then p.attributes = ARG.attributes ~= '{}' and ARG.attributes or nil end
local expires_at = now + ARG.joining_ttl_ms
p.expiresAt = integer(expires_at)
local function record_token()
  put(p, known and position(known))
  if redis.call('ZADD', KEY.joining, p.expiresAt, p.identity) == 1 then touch(KEY.joining) end
  expire_token_at(expires_at)
end

local was_told = known and is_told(known)
if not was_told and not is_told(p) and is_silent() then
  check_permissions()
  record_token()
  return changed_silently(p)
end
check_permissions()
record_token()
tell('participant_updated', p, was_told)
return changed(p)
