-- Records that a join token was issued: the participant counts as joining for a while.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
if stream.backstage == '1' and ARG.role == 'viewer' then return rejected('backstage', '') end
local known = participant(ARG.identity)
if known and known.state == 'active' then return unchanged(known) end
if stream.maxParticipants ~= '' and active_count() >= tonumber(stream.maxParticipants) then
  return rejected('full', stream.maxParticipants)
end
local p = { identity = ARG.identity, role = ARG.role, state = 'joining', joinedAt = now, metadata = '{}' }
if known then
  p.name, p.metadata, p.attributes, p.sessionAt = known.name, known.metadata, known.attributes, known.sessionAt
  p.lastJoinedAt = known.leftAt and known.joinedAt or known.lastJoinedAt
  p.lastLeftAt = known.leftAt or known.lastLeftAt
end
if ARG.name ~= '' then p.name = ARG.name end
if ARG.metadata ~= '' then p.metadata = ARG.metadata end
if ARG.attributes ~= '' then p.attributes = ARG.attributes ~= '{}' and ARG.attributes or nil end
p.expiresAt = now + ARG.joining_ttl_ms
put(p, known and position(known))
redis.call('ZADD', KEY.joining, integer(p.expiresAt), p.identity)
touch(KEY.joining)
joining_moved = true
tell('participant_updated', p, known and is_told(known))
return changed(p)
