-- Ends a session: LiveKit reports its end, LiveKit's list lacks it, or the app removes the participant.
-- `participant_sid` is '' for whichever session exists. `recorded_before` is set where LiveKit's list lacks the
-- session, and only a session recorded before that time ends.
local sid = ARG.participant_sid
local p = participant(ARG.identity)
if is_ended() then return unchanged(p) end
local hidden = sid ~= '' and unlisted(ARG.identity) or nil
if hidden and hidden.sid ~= sid then hidden = nil end
if ARG.recorded_before ~= '' then
  local recorded = hidden or p and p.state == 'active' and p.sid == sid and p
  if not recorded or tonumber(recorded.changedAt or 0) >= tonumber(ARG.recorded_before) then return unchanged(p) end
end
local ends = p and p.state ~= 'disconnected' and (sid == '' or p.sid == sid)
local ended_at = ARG.left_at ~= '' and math.min(tonumber(ARG.left_at), now) or now
local reason, by
if ends and not hidden and p.removing then
  reason, by = 'removed', p.removing ~= '' and p.removing or nil
  complete_removal(p, p.sid)
end
if ends and not hidden and not is_told(p) and is_silent() then
  check_permissions()
  record_end(p, ended_at)
  return changed_silently(p)
end
check_permissions()
if sid ~= '' then add_tombstone(sid, true) end
if hidden then
  remove_unlisted(hidden)
  return changed(p)
end
if not ends then return unchanged(p) end
reason = ARG.reason ~= '' and ARG.reason or reason or denial_reason(p)
end_visit(p, ended_at, reason, sid ~= '', by)
return changed(p)
