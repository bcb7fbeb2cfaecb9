-- Records that a join token was issued: the participant counts as joining for a while.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
if is_blocked(ARG.identity) then return rejected('blocked', '') end
local json = participant_text(ARG.identity)
local max = tonumber(stream.maxParticipants)
local is_full = max and active_count() >= max
local expires_at = now + ARG.joining_ttl_ms
local expires_text = integer(expires_at)
local function expire_token()
  if redis.call('ZADD', KEY.joining, expires_text, ARG.identity) == 1 then touch(KEY.joining) end
  expire_token_at(expires_at)
end
-- A plain viewer, see viewers.lua.
if not json and ARG.role == 'viewer' and stream.backstage ~= '1' and is_silent() and not is_full then
  check_permissions()
  if redis.call('ZADD', KEY.joining_order, '0', viewer_key(now_text, ARG.identity)) == 1 then
    touch(KEY.joining_order)
  end
  local members = '"identity":' .. cjson.encode(ARG.identity) .. text_member('name', ARG.name)
  local rest = cjson.encode(ARG.metadata ~= '' and ARG.metadata or '{}')
    .. (ARG.attributes ~= '{}' and text_member('attributes', ARG.attributes) or '') .. ',"roleSet":true}'
  json = put_viewer(ARG.identity, 'joining', now_text, '","expiresAt":"' .. expires_text .. '",', members, rest)
  expire_token()
  return changed_silently(json)
end
check_permissions()
local known = participant_of(json)
local recorded = ARG.role ~= '' and ARG.role or recorded_role(known, ARG.identity)
local role = recorded or 'host'
if stream.backstage == '1' and role == 'viewer' then return rejected('backstage', '') end
if known and known.state == 'active' then return unchanged(known) end
if is_full then return rejected('full', stream.maxParticipants) end
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
p.expiresAt = expires_text
local was_told = known and is_told(known)
put(p, known and position(known))
expire_token()
tell('participant_updated', p, was_told)
return changed(p)
