local SORTED_SET = { joining = KEY.joining_order, active = KEY.active_order, disconnected = KEY.disconnected_order }
-- How long a tombstone is kept, and the number of older ones that one call removes.
local TOMBSTONE_MS, TOMBSTONE_BATCH = 3600000, 100

local function read_entry(key, identity)
  local json = redis.call('HGET', key, identity)
  if json then return cjson.decode(json) end
end
local function participant(identity) return read_entry(KEY.participants, identity) end
local function unlisted(identity) return read_entry(KEY.unlisted, identity) end

-- As Participant::is_listed and Participant::counts.
local function is_listed(p) return p.kind ~= 'egress' and not p.hidden end
local function counts(p) return is_listed(p) and p.kind ~= 'agent' end

-- As Participant::is_on_stage.
local function is_on_stage(p) return is_listed(p) and p.role == 'host' end

-- Whether the changes of a listed participant are events.
local function is_told(p) return not is_counted() or is_on_stage(p) end

-- Emits a change of a participant: its event, or that it has left the stage, or nothing in the audience of a counted
-- stream. `was_told` is `is_told` of the entry before the change.
local function tell(kind, p, was_told, reason)
  if is_told(p) then return emit(kind, p, nil, nil, reason) end
  if was_told then emit('participant_updated', p, true) end
end

-- As Participant::list_key: hosts, other listed participants, unlisted participants; each group newest first, then by
-- identity.
local function list_key(p)
  local rank = not is_listed(p) and CONST.unlisted_rank or is_on_stage(p) and CONST.stage_rank or CONST.audience_rank
  return rank .. ':' .. string.format('%016d', CONST.end_of_time_ms - math.max(p.joinedAt, 0)) .. ':' .. p.identity
end

-- The place of an entry in the lists: the sorted set that has its list key, and the key.
local function position(p)
  local unlisted_set = p.hidden and KEY.hidden_order or KEY.recorder_order
  return { set = is_listed(p) and SORTED_SET[p.state] or unlisted_set, key = list_key(p) }
end

-- Writes a participant whose position was `old`; nil for a new one.
local function put(p, old)
  local new = position(p)
  redis.call('ZADD', new.set, 0, new.key)
  touch(new.set)
  if old and (old.set ~= new.set or old.key ~= new.key) then redis.call('ZREM', old.set, old.key) end
  p.changedAt = now
  local entries = is_listed(p) and KEY.participants or KEY.unlisted
  redis.call('HSET', entries, p.identity, cjson.encode(p))
  touch(entries)
end

local function recount_uncounted()
  stream.uncounted = integer(redis.call('SCARD', KEY.agents) + redis.call('HLEN', KEY.unlisted))
end

local function remove_unlisted(p)
  redis.call('HDEL', KEY.unlisted, p.identity)
  local old = position(p)
  redis.call('ZREM', old.set, old.key)
  recount_uncounted()
end

-- Adds a tombstone for the sid of a participant or a track, so that a late webhook cannot bring it back.
local function add_tombstone(sid)
  local last = now - TOMBSTONE_MS
  local old = redis.call('ZRANGEBYSCORE', KEY.tombstones, '-inf', last, 'LIMIT', 0, TOMBSTONE_BATCH)
  -- The first write of a departure must not use memory, see outcome.lua.
  redis.call('ZREM', KEY.tombstones, sid, unpack(old))
  redis.call('ZADD', KEY.tombstones, now, sid)
  touch(KEY.tombstones)
end

-- Changes the number of active participants of a role by `change`.
local function count_role(role, change)
  local field = role == 'host' and 'hosts' or is_counted() and 'currentViewers' or 'viewers'
  stream[field] = integer(stream[field] + change)
end

local function remove_joining(identity)
  joining_moved = redis.call('ZREM', KEY.joining, identity) == 1 or joining_moved
end

-- As Stream::denies: the reason for which a participant has no access, or nil.
local function denial_reason(p)
  if stream.backstage == '1' and counts(p) and p.role == 'viewer' then return 'backstage' end
end

-- Ends the visit of an active or joining participant. Only one that was connected gets 'participant_left', with the
-- reason if there is one.
local function end_visit(p, at, reason)
  remove_joining(p.identity)
  local was_active, old = p.state == 'active', position(p)
  p.state, p.leftAt = 'disconnected', math.max(at, p.joinedAt)
  p.expiresAt, p.lastJoinedAt, p.lastLeftAt, p.tracks = nil, nil, nil, nil
  put(p, old)
  if not was_active then return tell('participant_updated', p) end
  add_tombstone(p.sid)
  if counts(p) then
    redis.call('SREM', KEY.active, p.identity)
    count_role(p.role, -1)
    if active_count() == 0 then stream.emptySince = integer(now) end
  else
    redis.call('SREM', KEY.agents, p.identity)
    recount_uncounted()
  end
  tell('participant_left', p, nil, reason)
end

-- Calls `act` with the entries of the first identities: at most CONST.close_batch, and none after they have
-- CONST.change_bytes. Returns the number of entries.
local function for_each(identities, act)
  local count, bytes = 0, 0
  while count < math.min(#identities, CONST.close_batch) and bytes < CONST.change_bytes do
    count = count + 1
    local json = redis.call('HGET', KEY.participants, identities[count])
    bytes = bytes + #json
    act(cjson.decode(json))
  end
  return count
end
