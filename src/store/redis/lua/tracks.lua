-- Somebody publishes a track, or has ceased to.
-- ARGV  1 identity, 2 participant sid, 3 track sid, 4 the track as text, or '' if it is over
local p, sid = participant(arg(1)), arg(3)
if is_final() then return unchanged(p) end
if arg(4) == '' then
  remember_gone(sid)
  redis.call('PEXPIRE', K.gone, ARGV[4])
elseif redis.call('ZSCORE', K.gone, sid) then
  return unchanged(p)
end
if not p or p.state ~= 'active' or p.sid ~= arg(2) then return unchanged(p) end
local tracks = {}
for track in (p.tracks or ''):gmatch('[^;]+') do
  if track:match('^[^ ]+') ~= sid then tracks[#tracks + 1] = track end
end
if arg(4) ~= '' then tracks[#tracks + 1] = arg(4) end
table.sort(tracks)
local text = table.concat(tracks, ';')
if text == (p.tracks or '') then return unchanged(p) end
p.tracks = text ~= '' and text or nil
put(p, list_key(p))
emit('participant_updated', p)
return changed(p)
