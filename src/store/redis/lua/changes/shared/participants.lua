-- How long a tombstone is kept, and the number of older ones that one call removes.
local TOMBSTONE_MS, TOMBSTONE_BATCH = 3600000, '100'

-- Entries have times as texts, because JSON of numbers takes twice as long.
local function read_entry(key, identity)
  local json = redis.call('HGET', key, identity)
  if json then return cjson.decode(json) end
end
local function participant(identity) return read_entry(KEY.participants, identity) end
-- The JSON of a participant; false for an unknown one.
local function participant_text(identity) return redis.call('HGET', KEY.participants, identity) end
local function participant_of(json) return json and cjson.decode(json) or nil end
-- The role that a caller has set for an identity, whose entry is `p`; nil without one.
local function recorded_role(p, identity)
  if p then return p.roleSet and p.role end
  return redis.call('HGET', KEY.roles, identity) or nil
end
local function unlisted(identity) return stream.uncounted ~= '0' and read_entry(KEY.unlisted, identity) or nil end

-- As Participant::is_listed and Participant::counts.
local function is_listed_kind(kind, is_hidden) return kind ~= 'egress' and not is_hidden end
local function is_listed(p) return is_listed_kind(p.kind, p.hidden) end
local function counts(p) return is_listed(p) and p.kind ~= 'agent' end

-- As Participant::is_on_stage.
local function is_on_stage(p) return is_listed(p) and (p.role == 'host' or p.handRaisedAt ~= nil) end

-- Whether the changes of a listed participant are events.
local function is_told(p) return not is_counted() or is_on_stage(p) end

-- Emits a change of a participant: its event, or that it has left the stage, or nothing in the audience of a counted
-- stream. `was_told` is `is_told` of the entry before the change.
local function tell(kind, p, was_told, reason, by)
  if is_told(p) then return emit(kind, p, nil, nil, reason, by) end
  if not was_told then return end
  if kind ~= 'participant_left' then kind, reason = 'participant_updated', nil end
  emit(kind, p, true, nil, reason, by)
end

-- As Participant::list_key: hosts, viewers with a raised hand, other listed participants, unlisted participants; each
-- group newest first, then by identity.
local function list_key(p)
  local rank = not is_listed(p) and CONST.unlisted_rank or p.role == 'host' and CONST.host_rank
    or p.handRaisedAt and CONST.hand_rank or CONST.audience_rank
  return rank .. ':' .. string.format('%016d', CONST.end_of_time_ms - math.max(p.joinedAt, 0)) .. ':' .. p.identity
end

local function list_of(p)
  if not is_listed(p) then return p.hidden and KEY.hidden_order or KEY.recorder_order end
  if p.state == 'active' then return KEY.active_order end
  return p.state == 'joining' and KEY.joining_order or KEY.disconnected_order
end

-- The place of an entry in the lists: the sorted set that has its list key, and the key.
local function position(p) return { set = list_of(p), key = list_key(p) } end

-- As `touch`, for a key that exists while a participant is active.
local function touch_common(key)
  if active_count() == 0 or key == KEY.unlisted then touch(key) end
end

-- Writes a participant whose position was `old`; nil for a new one. The first write uses memory, see outcome.lua.
local function put(p, old)
  local new = position(p)
  if redis.call('ZADD', new.set, '0', new.key) == 1 then touch(new.set) end
  if old and (old.set ~= new.set or old.key ~= new.key) then redis.call('ZREM', old.set, old.key) end
  p.changedAt = now_text
  local entries = is_listed(p) and KEY.participants or KEY.unlisted
  written, written_json = p, cjson.encode(p)
  if redis.call('HSET', entries, p.identity, written_json) == 1 then touch_common(entries) end
end

-- Records that a hand was raised at a time; nil for a hand that was lowered.
local function put_hand(p, raised_at, by)
  local old, was_told = position(p), is_told(p)
  -- A hand is lowered on a full Redis too: the first write must not use memory, see outcome.lua.
  if not raised_at then redis.call('ZREM', old.set, old.key) end
  p.handRaisedAt = raised_at
  put(p, old)
  tell('participant_updated', p, was_told, nil, by)
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

-- Old tombstones, which one departure of a call removes.
local has_old_tombstones = true
local function take_old_tombstones()
  if not has_old_tombstones then return {} end
  has_old_tombstones = false
  local oldest, last = redis.call('ZRANGE', KEY.tombstones, '0', '0', 'WITHSCORES'), now - TOMBSTONE_MS
  if not oldest[1] then touch(KEY.tombstones) end
  if not oldest[1] or tonumber(oldest[2]) > last then return {} end
  return redis.call('ZRANGEBYSCORE', KEY.tombstones, '-inf', integer(last), 'LIMIT', '0', TOMBSTONE_BATCH)
end

-- Removing the only tombstones removes the key and its TTL.
local function remove_tombstones(sid, ...)
  redis.call('ZREM', KEY.tombstones, sid, ...)
  touch(KEY.tombstones)
end

-- Adds a tombstone for the sid of a participant or a track, so that a late webhook cannot bring it back.
local function add_tombstone(sid, is_first_write)
  local old = take_old_tombstones()
  -- The first write of a departure must not use memory, see outcome.lua.
  if is_first_write or #old > 0 then remove_tombstones(sid, unpack(old)) end
  redis.call('ZADD', KEY.tombstones, now_text, sid)
end

-- Changes the number of active participants of a role by `change`.
local function count_role(role, change)
  local field = role == 'host' and 'hosts' or is_counted() and 'currentViewers' or 'viewers'
  stream[field] = integer(stream[field] + change)
end

local function count_departure(role)
  count_role(role, -1)
  if active_count() == 0 then stream.emptySince = now_text end
end

local function count_visit(role)
  count_role(role, 1)
  local peak, count = is_counted() and 'currentPeak' or 'peak', active_count()
  if count > tonumber(stream[peak]) then stream[peak] = integer(count) end
  stream.emptySince = ''
end

-- The job that removes the next unused token stays as it is, which is early at worst.
local function remove_joining(identity) redis.call('ZREM', KEY.joining, identity) end

-- Whether an identity is blocked. A stream without blocks runs no command.
local function is_blocked(identity)
  return stream.blocks ~= '' and redis.call('HGET', KEY.blocks, identity)
end

-- As Removals::complete. `sid` is the removed session, if there is one.
local function complete_removal(p, sid)
  p.removals, p.removing, p.removedSid = integer((p.removals or 0) + 1), nil, sid or p.removedSid
end

-- As Stream::denial: the reason for which a participant has no access, or nil.
local function denial_reason(p)
  if is_blocked(p.identity) then return 'blocked' end
  local is_late = p.removals and p.issued ~= '' and tonumber(p.issued or 0) < tonumber(p.removals)
  if p.state == 'active' and (p.removing or is_late) then return 'removed' end
  if stream.backstage == '1' and counts(p) and p.role == 'viewer' then return 'backstage' end
end

-- Records the end of the visit of an active or joining participant. `has_tombstone` is true if the participant's sid
-- has one. Returns whether the participant was connected.
local function record_end(p, at, has_tombstone)
  local was_active, old = p.state == 'active', position(p)
  -- The first write of a departure must not use memory, see outcome.lua.
  redis.call('ZREM', old.set, old.key)
  if not was_active then remove_joining(p.identity) end
  p.state, p.leftAt = 'disconnected', integer(math.max(at, p.joinedAt))
  p.expiresAt, p.lastJoinedAt, p.lastLeftAt, p.tracks, p.handRaisedAt = nil, nil, nil, nil, nil
  put(p)
  if not was_active then return false end
  if not has_tombstone then add_tombstone(p.sid) end
  log_visit(p)
  if counts(p) then
    count_departure(p.role)
  else
    redis.call('SREM', KEY.agents, p.identity)
    recount_uncounted()
  end
  return true
end

-- As `record_end`, with the event. Only a participant that was connected gets 'participant_left', with the reason if
-- there is one. `by` is the identity of the caller.
local function end_visit(p, at, reason, has_tombstone, by)
  local was_told = is_told(p)
  if not record_end(p, at, has_tombstone) then return tell('participant_updated', p, was_told, nil, by) end
  tell('participant_left', p, was_told, reason, by)
end

-- Ends the visit of an active participant that has connected again. A removal under way ends with the visit.
local function end_replaced(p)
  if not p.removing then return end_visit(p, now) end
  local by = p.removing ~= '' and p.removing or nil
  complete_removal(p, p.sid)
  end_visit(p, now, 'removed', false, by)
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
