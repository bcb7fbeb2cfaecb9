-- Ends a session: LiveKit reports its end, LiveKit's list lacks it, or the app removes the participant.
-- `participant_sid` is '' for whichever session exists. `recorded_before` is set where LiveKit's list lacks the
-- session, and only a session recorded before that time ends.
local sid = ARG.participant_sid
local json = participant_text(ARG.identity)
if is_ended() then return unchanged(participant_of(json)) end
local ended_at = ARG.left_at ~= '' and math.min(tonumber(ARG.left_at), now) or now
-- A plain viewer, see viewers.lua.
if json and ARG.recorded_before == '' and stream.uncounted == '0' and is_silent() then
  local joined_at, session_at, members, rest = json:match('^{ "state":"active","role":"viewer","joinedAt":"(%d+)",'
    .. '"changedAt":"%d+","sessionAt":"(%d+)",("sid":.-),"metadata":(.*)$')
  local own = '"sid":' .. cjson.encode(sid) .. ',"identity"'
  if joined_at and members:sub(1, #own) == own then
    check_permissions()
    local key, left_at = viewer_key(joined_at, ARG.identity), integer(math.max(ended_at, joined_at))
    -- The first write of a departure must not use memory, see outcome.lua.
    redis.call('ZREM', KEY.active_order, key)
    if redis.call('ZADD', KEY.disconnected_order, '0', key) == 1 then touch(KEY.disconnected_order) end
    local times = '","leftAt":"' .. left_at .. '","sessionAt":"' .. session_at .. '",'
    json = put_viewer(ARG.identity, 'disconnected', joined_at, times, members, rest)
    add_tombstone(sid)
    if ARG.keeps_visits ~= '' then
      log_for_history('{"streamId":"' .. stream.id .. '","role":"viewer","joinedAt":"' .. joined_at
        .. '","leftAt":"' .. left_at .. '",' .. members .. '}')
    end
    count_departure('viewer')
    return changed_silently(json)
  end
end
check_permissions()
local p = participant_of(json)
local hidden = sid ~= '' and unlisted(ARG.identity) or nil
if hidden and hidden.sid ~= sid then hidden = nil end
if ARG.recorded_before ~= '' then
  local recorded = hidden or p and p.state == 'active' and p.sid == sid and p
  if not recorded or tonumber(recorded.changedAt or 0) >= tonumber(ARG.recorded_before) then return unchanged(p) end
end
local ends = p and p.state ~= 'disconnected' and (sid == '' or p.sid == sid)
local reason, by
if ends and not hidden and p.removing then
  reason, by = 'removed', p.removing ~= '' and p.removing or nil
  complete_removal(p, p.sid)
end
if sid ~= '' then add_tombstone(sid, true) end
if hidden then
  remove_unlisted(hidden)
  return changed(p)
end
if not ends then return unchanged(p) end
reason = ARG.reason ~= '' and ARG.reason or reason or denial_reason(p)
end_visit(p, ended_at, reason, sid ~= '', by)
return changed(p)
