-- LiveKit says that somebody is connected. The newest session of an identity, by LiveKit's time, is the one that counts.
-- ARGV  1 room sid, 2 participant sid, 3 identity, 4 name or '', 5 role or '', 6 metadata or '',
--       7 LiveKit's time of it in milliseconds, or ''
local sid, identity = arg(2), arg(3)
if s.status ~= 'active' or s.roomSid ~= arg(1) then return unchanged(participant(identity)) end
local p = participant(identity)
if redis.call('ZSCORE', K.gone, sid) then return unchanged(p) end
local session_at = arg(7) ~= '' and math.min(tonumber(arg(7)), now + SKEW_MS) or now
if p and (p.sid == sid or (p.sessionAt and session_at < p.sessionAt)) then return unchanged(p) end

local old = p and list_key(p)
if not p then p = { identity = identity, role = 'host', state = 'joining', joinedAt = now, metadata = '{}' } end
if p.state == 'active' then end_visit(p, now) end
p.state, p.sid, p.sessionAt, p.joinedAt = 'active', sid, session_at, math.min(session_at, now)
p.leftAt, p.expiresAt, p.lastJoinedAt, p.lastLeftAt = nil, nil, nil, nil
if arg(4) ~= '' then p.name = arg(4) end
if arg(5) ~= '' then p.role = arg(5) end
if arg(6) ~= '' then p.metadata = arg(6) end
put(p, old)
redis.call('ZREM', K.joining, identity)
redis.call('SADD', K.active, identity)
redis.call('INCR', K.total)
s.count = integer(redis.call('SCARD', K.active))
if tonumber(s.count) > tonumber(s.peak) then s.peak = s.count end
s.emptySince = ''
emit('participant_joined', p)
return changed(p)
