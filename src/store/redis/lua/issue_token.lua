-- A join token was handed out.
-- ARGV  1 identity, 2 name or '', 3 role, 4 metadata or '', 5 milliseconds that it counts as joining,
--       6 attributes as JSON or ''
if s.status ~= 'active' then return rejected('not_active', s.status) end
local known = participant(arg(1))
if known and known.state == 'active' then return unchanged(known) end
if s.maxParticipants ~= '' and tonumber(s.count) >= tonumber(s.maxParticipants) then
  return rejected('full', s.maxParticipants)
end
local p = { identity = arg(1), role = arg(3), state = 'joining', joinedAt = now, metadata = '{}' }
if known then
  p.name, p.metadata, p.attributes, p.sessionAt = known.name, known.metadata, known.attributes, known.sessionAt
  p.lastJoinedAt = known.leftAt and known.joinedAt or known.lastJoinedAt
  p.lastLeftAt = known.leftAt or known.lastLeftAt
end
if arg(2) ~= '' then p.name = arg(2) end
if arg(4) ~= '' then p.metadata = arg(4) end
if arg(6) ~= '' then p.attributes = arg(6) ~= '{}' and arg(6) or nil end
p.expiresAt = now + arg(5)
put(p, known and list_key(known))
redis.call('ZADD', K.joining, integer(p.expiresAt), p.identity)
emit('participant_updated', p)
return changed(p)
