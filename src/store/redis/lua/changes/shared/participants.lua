local function read_entry(key, identity)
  local json = redis.call('HGET', key, identity)
  if json then return cjson.decode(json) end
end
local function participant(identity) return read_entry(KEY.participants, identity) end
local function unlisted(identity) return read_entry(KEY.unlisted, identity) end

-- As Participant::is_listed and Participant::counts.
local function is_listed(p) return p.kind ~= 'egress' and not p.hidden end
local function counts(p) return is_listed(p) and p.kind ~= 'agent' end

-- As Participant::list_key: hosts, other listed participants, unlisted participants; each group newest first, then by
-- identity.
local function list_key(p)
  local rank = not is_listed(p) and CONST.unlisted_rank or p.role == 'host' and '0' or '1'
  return rank .. ':' .. string.format('%016.0f', CONST.end_of_time_ms - math.max(p.joinedAt, 0)) .. ':' .. p.identity
end

-- Writes a participant whose list key was `old`; nil for a new one.
local function put(p, old)
  local key = list_key(p)
  redis.call('ZADD', KEY.order, 0, key)
  if old and old ~= key then redis.call('ZREM', KEY.order, old) end
  p.changedAt = now
  redis.call('HSET', is_listed(p) and KEY.participants or KEY.unlisted, p.identity, cjson.encode(p))
end

local function recount_uncounted()
  stream.uncounted = integer(redis.call('SCARD', KEY.agents) + redis.call('HLEN', KEY.unlisted))
end

local function remove_unlisted(p)
  redis.call('HDEL', KEY.unlisted, p.identity)
  redis.call('ZREM', KEY.order, list_key(p))
  recount_uncounted()
end

-- How long a tombstone is kept.
local TOMBSTONE_MS = 3600000

-- Adds a tombstone for the sid of a participant or a track, so that a late webhook cannot bring it back.
local function add_tombstone(sid)
  redis.call('ZREMRANGEBYSCORE', KEY.tombstones, '-inf', now - TOMBSTONE_MS)
  redis.call('ZADD', KEY.tombstones, now, sid)
end

-- Ends the visit of an active or joining participant. Only one that was connected gets 'participant_left'.
local function end_visit(p, at)
  redis.call('ZREM', KEY.joining, p.identity)
  local was_active = p.state == 'active'
  p.state, p.leftAt = 'disconnected', math.max(at, p.joinedAt)
  p.expiresAt, p.lastJoinedAt, p.lastLeftAt, p.tracks = nil, nil, nil, nil
  put(p, list_key(p))
  if not was_active then return emit('participant_updated', p) end
  add_tombstone(p.sid)
  if counts(p) then
    redis.call('SREM', KEY.active, p.identity)
    redis.call('INCRBY', KEY.participant_total, -1)
    stream.count = integer(redis.call('SCARD', KEY.active))
    if stream.count == '0' then stream.emptySince = integer(now) end
  else
    redis.call('SREM', KEY.agents, p.identity)
    recount_uncounted()
  end
  emit('participant_left', p)
end
