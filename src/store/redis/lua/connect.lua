-- LiveKit says that somebody is connected. The newest session of an identity, by LiveKit's time, is the one that counts.
-- ARGV  1 room sid, 2 participant sid, 3 identity, 4 name or '', 5 role or '', 6 metadata,
--       7 LiveKit's time of it in milliseconds, or '', 8 tracks as text,
--       9 '' for a webhook; for a session of LiveKit's list, the time before which what is recorded may be corrected,
--       10 attributes as JSON or '', 11 LiveKit's kind, '' for a standard participant, 12 '1' where LiveKit hides them
local sid, identity, before = arg(2), arg(3), tonumber(arg(9))
local p = participant(identity)
-- The room's sid is not known yet. The rejection makes LiveKit send the webhook again.
if s.status == 'creating' then return rejected('not_active', s.status) end
if s.status ~= 'active' or s.roomSid ~= arg(1) then return unchanged(p) end
local ended = redis.call('ZSCORE', K.gone, sid)
if ended and not (before and tonumber(ended) < before) then return unchanged(p) end

-- Takes over what LiveKit says about an entry; says whether that is anything new. An empty text is what LiveKit writes
-- for an absent value.
local function describe(p)
  local said = {
    name = arg(4) ~= '' and arg(4) or nil, role = arg(5) ~= '' and arg(5) or p.role, metadata = arg(6),
    attributes = arg(10) ~= '' and arg(10) or nil, tracks = arg(8) ~= '' and arg(8) or nil,
  }
  local new = false
  for _, field in ipairs({ 'name', 'role', 'metadata', 'attributes', 'tracks' }) do
    new = new or p[field] ~= said[field]
    p[field] = said[field]
  end
  return new
end

local function corrects(entry) return before and entry and (entry.changedAt or 0) < before end
local function kind() return arg(11) ~= '' and arg(11) or nil end
local session_at = arg(7) ~= '' and math.min(tonumber(arg(7)), now + SKEW_MS) or now
local function begin_session(entry)
  entry.state, entry.sid, entry.sessionAt, entry.joinedAt = 'active', sid, session_at, math.min(session_at, now)
  entry.leftAt, entry.expiresAt, entry.lastJoinedAt, entry.lastLeftAt = nil, nil, nil, nil
  entry.kind = kind()
  describe(entry)
end

local hidden = unlisted(identity)
if not is_listed({ kind = kind(), hidden = arg(12) == '1' }) then
  local same = hidden and hidden.sid == sid
  local older = hidden and not same and session_at < hidden.sessionAt
  if older and not corrects(hidden) then return unchanged(p) end
  local old = hidden and list_key(hidden)
  if same and not (corrects(hidden) and describe(hidden)) then return unchanged(p) end
  if not same then hidden = { identity = identity, role = 'host', metadata = '{}' } end
  if p and p.state == 'active' and p.sid == sid then end_visit(p, now) end
  hidden.hidden = arg(12) == '1' or nil
  begin_session(hidden)
  put(hidden, old)
  count_others()
  redis.call('ZREM', K.gone, sid)
  return changed(p)
end

-- What LiveKit lists is so, whatever its clocks say about which session is the newer one.
local old = p and list_key(p)
if p and p.sid == sid and p.state == 'active' then
  if not corrects(p) or not describe(p) then return unchanged(participant(identity)) end
  put(p, old)
  emit('participant_updated', p)
  return changed(p)
end
local older = p and p.sessionAt and session_at < p.sessionAt
local older_than_hidden = hidden and hidden.sid ~= sid and session_at < hidden.sessionAt
if (p and p.sid == sid and not before) or (older and not corrects(p)) then return unchanged(p) end
if older_than_hidden and not corrects(hidden) then return unchanged(p) end

if not p then p = { identity = identity, role = 'host', state = 'joining', joinedAt = now, metadata = '{}' } end
if p.state == 'active' then end_visit(p, now) end
begin_session(p)
put(p, old)
if hidden then forget_unlisted(hidden) end
redis.call('ZREM', K.gone, sid)
redis.call('ZREM', K.joining, identity)
if counts(p) then
  redis.call('SADD', K.active, identity)
  redis.call('INCR', K.total)
  s.count = integer(redis.call('SCARD', K.active))
  if tonumber(s.count) > tonumber(s.peak) then s.peak = s.count end
  s.emptySince = ''
else
  redis.call('SADD', K.agents, identity)
  count_others()
end
emit('participant_joined', p)
return changed(p)
