-- A session is over, or the app wants somebody out.
-- ARGV  1 identity, 2 participant sid or '' for whichever there is, 3 LiveKit's time of it in milliseconds, or '',
--       4 '' or, where LiveKit just does not list the session any more, the time before which it must be recorded
local p = participant(arg(1))
if is_final() then return unchanged(p) end
local hidden = arg(2) ~= '' and unlisted(arg(1))
if hidden and hidden.sid ~= arg(2) then hidden = nil end
if arg(4) ~= '' then
  local known = hidden or p and p.state == 'active' and p.sid == arg(2) and p
  if not known or (known.changedAt or 0) >= tonumber(arg(4)) then return unchanged(p) end
end
if arg(2) ~= '' then
  remember_gone(arg(2))
  redis.call('PEXPIRE', K.gone, ARGV[4])
end
if hidden then
  forget_unlisted(hidden)
  return changed(p)
end
if not p or p.state == 'disconnected' or (arg(2) ~= '' and p.sid ~= arg(2)) then return unchanged(p) end
end_visit(p, arg(3) ~= '' and math.min(tonumber(arg(3)), now) or now)
return changed(p)
