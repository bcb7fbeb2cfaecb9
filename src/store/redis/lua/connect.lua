-- LiveKit says that somebody is connected. The newest session of an identity, by LiveKit's time, is the one that counts.
-- ARGV  1 room sid, 2 participant sid, 3 identity, 4 name or '', 5 role or '', 6 metadata or '',
--       7 LiveKit's time of it in milliseconds, or '', 8 tracks as text,
--       9 '' for a webhook; for a session of LiveKit's list, the time before which what is recorded may be corrected
local sid, identity, before = arg(2), arg(3), tonumber(arg(9))
local p = participant(identity)
if s.status ~= 'active' or s.roomSid ~= arg(1) then return unchanged(p) end
local ended = redis.call('ZSCORE', K.gone, sid)
if ended and not (before and tonumber(ended) < before) then return unchanged(p) end

-- Takes over what LiveKit says about them; says whether that is anything new.
local function describe()
  local function told() return table.concat({ p.name or '', p.role, p.metadata, p.tracks or '' }, '\n') end
  local known = told()
  if arg(4) ~= '' then p.name = arg(4) end
  if arg(5) ~= '' then p.role = arg(5) end
  if arg(6) ~= '' then p.metadata = arg(6) end
  p.tracks = arg(8) ~= '' and arg(8) or nil
  return told() ~= known
end

-- What LiveKit lists is so, whatever its clocks say about which session is the newer one.
local corrects = before and p and (p.changedAt or 0) < before
local old = p and list_key(p)
if p and p.sid == sid and p.state == 'active' then
  if not corrects or not describe() then return unchanged(participant(identity)) end
  put(p, old)
  emit('participant_updated', p)
  return changed(p)
end
local session_at = arg(7) ~= '' and math.min(tonumber(arg(7)), now + SKEW_MS) or now
local older = p and p.sessionAt and session_at < p.sessionAt
if (p and p.sid == sid and not before) or (older and not corrects) then return unchanged(p) end

if not p then p = { identity = identity, role = 'host', state = 'joining', joinedAt = now, metadata = '{}' } end
if p.state == 'active' then end_visit(p, now) end
p.state, p.sid, p.sessionAt, p.joinedAt = 'active', sid, session_at, math.min(session_at, now)
p.leftAt, p.expiresAt, p.lastJoinedAt, p.lastLeftAt = nil, nil, nil, nil
describe()
put(p, old)
redis.call('ZREM', K.gone, sid)
redis.call('ZREM', K.joining, identity)
redis.call('SADD', K.active, identity)
redis.call('INCR', K.total)
s.count = integer(redis.call('SCARD', K.active))
if tonumber(s.count) > tonumber(s.peak) then s.peak = s.count end
s.emptySince = ''
emit('participant_joined', p)
return changed(p)
