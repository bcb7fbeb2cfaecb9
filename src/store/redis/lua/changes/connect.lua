-- Records a session that LiveKit reports as connected. Of several sessions of an identity, the newest by LiveKit's time
-- counts. `corrects_before` is '' for a webhook. For a session in LiveKit's list it is a time, and the list corrects
-- what was recorded before that.
local sid, identity, before = ARG.participant_sid, ARG.identity, tonumber(ARG.corrects_before)
local json = participant_text(identity)
-- The room's sid is not known yet. The rejection makes LiveKit send the webhook again.
if stream.status == 'creating' then return rejected('not_active', stream.status) end
if stream.status ~= 'active' or not has_room(ARG.room_sid) then return unchanged(participant_of(json)) end
local ended = redis.call('ZSCORE', KEY.tombstones, sid)
if ended and not (before and tonumber(ended) < before) then return unchanged(participant_of(json)) end
local session_at = ARG.session_at ~= '' and math.min(tonumber(ARG.session_at), now + CONST.clock_skew_ms) or now
local session_text = integer(session_at)
local joined_at = session_at > now and now_text or session_text

-- A plain viewer, see viewers.lua. The token of an unknown one is not of this service.
local is_plain = not ended and not before and ARG.kind == '' and ARG.hidden == '' and ARG.tracks == ''
local token_at = is_plain and json and json:match('^{ "state":"joining","role":"viewer","joinedAt":"(%d+)"')
local is_new = is_plain and not json and ARG.role == 'viewer'
if (token_at or is_new) and is_silent() and not unlisted(identity)
  and not (is_new and recorded_role(nil, identity)) then
  check_permissions()
  if redis.call('ZADD', KEY.active_order, '0', viewer_key(joined_at, identity)) == 1 then
    touch_common(KEY.active_order)
  end
  local members = '"sid":' .. cjson.encode(sid) .. ',"identity":' .. cjson.encode(identity)
    .. text_member('name', ARG.name)
  local rest = cjson.encode(ARG.metadata) .. text_member('attributes', ARG.attributes)
    .. (ARG.issued ~= '0' and ',"issued":"' .. ARG.issued .. '"' or '') .. (is_new and '}' or ',"roleSet":true}')
  json = put_viewer(identity, 'active', joined_at, '","sessionAt":"' .. session_text .. '",', members, rest)
  if token_at then
    redis.call('ZREM', KEY.joining_order, viewer_key(token_at, identity))
    remove_joining(identity)
  end
  count_visit('viewer')
  return changed_silently(json)
end
check_permissions()
local p = participant_of(json)

local function optional(text) return text ~= '' and text or nil end
local function corrects(entry) return before and entry and tonumber(entry.changedAt or 0) < before end
local kind, is_hidden = optional(ARG.kind), ARG.hidden ~= ''

-- Copies LiveKit's description into an entry; returns whether anything changes. LiveKit writes '' for an absent value.
local function describe(entry)
  local name, metadata, attributes, tracks =
    optional(ARG.name), ARG.metadata, optional(ARG.attributes), optional(ARG.tracks)
  local role = not entry.roleSet and optional(ARG.role) or entry.role
  local differs = entry.name ~= name or entry.role ~= role or entry.metadata ~= metadata
    or entry.attributes ~= attributes or entry.tracks ~= tracks
  entry.name, entry.role, entry.metadata, entry.attributes, entry.tracks = name, role, metadata, attributes, tracks
  -- A host has no raised hand.
  if entry.role == 'host' then entry.handRaisedAt = nil end
  return differs
end

local function is_older_than(entry) return entry.sessionAt and session_at < tonumber(entry.sessionAt) end

local function begin_session(entry)
  entry.state, entry.sid, entry.sessionAt, entry.joinedAt = 'active', sid, session_text, joined_at
  entry.leftAt, entry.expiresAt, entry.lastJoinedAt, entry.lastLeftAt = nil, nil, nil, nil
  entry.kind, entry.issued = kind, ARG.issued ~= '0' and ARG.issued or nil
  describe(entry)
end

local hidden = unlisted(identity)
local is_unlisted = not is_listed_kind(kind, is_hidden)
if is_unlisted then
  local same = hidden and hidden.sid == sid
  local older = hidden and not same and is_older_than(hidden)
  if older and not corrects(hidden) then return unchanged(p) end
  local old = hidden and position(hidden)
  if same and not (corrects(hidden) and describe(hidden)) then return unchanged(p) end
  if not same then hidden = { identity = identity, role = 'host', metadata = '{}' } end
  if p and p.state == 'active' and p.sid == sid then end_visit(p, now) end
  hidden.hidden = is_hidden or nil
  begin_session(hidden)
  put(hidden, old)
  recount_uncounted()
  remove_tombstones(sid)
  return changed(p)
end

-- LiveKit's list counts, whichever session is the newer one by LiveKit's clocks.
if p and p.sid == sid and p.state == 'active' then
  local old, old_role, was_told = position(p), p.role, is_told(p)
  if not corrects(p) or not describe(p) then return unchanged(participant(identity)) end
  if counts(p) then
    count_role(old_role, -1)
    count_role(p.role, 1)
  end
  put(p, old)
  tell('participant_updated', p, was_told)
  return changed(p)
end
local older = p and is_older_than(p)
local older_than_hidden = hidden and hidden.sid ~= sid and is_older_than(hidden)
if (p and p.sid == sid and not before) or (older and not corrects(p)) then return unchanged(p) end
if older_than_hidden and not corrects(hidden) then return unchanged(p) end

local known = p
if not p then p = { identity = identity, role = 'host', state = 'joining', joinedAt = now_text, metadata = '{}' } end
if p.state == 'active' then end_replaced(p) end
local old, was_told = known and position(p), known and is_told(known)
if not known then
  local role = recorded_role(nil, identity)
  p.role, p.roleSet = role or p.role, role and true or nil
end
begin_session(p)
put(p, old)
if hidden then remove_unlisted(hidden) end
if ended then remove_tombstones(sid) end
remove_joining(identity)
if counts(p) then
  count_visit(p.role)
else
  redis.call('SADD', KEY.agents, identity)
  touch(KEY.agents)
  recount_uncounted()
end
tell('participant_joined', p, was_told)
return changed(p)
