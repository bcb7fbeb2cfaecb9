-- Records a participant's track, or its end if `track` is ''.
local p, sid = participant(ARG.identity), ARG.track_sid
if is_ended() then return unchanged(p) end
if ARG.track == '' then
  add_tombstone(sid, true)
elseif redis.call('ZSCORE', KEY.tombstones, sid) then
  return unchanged(p)
end
if not p or p.state ~= 'active' or p.sid ~= ARG.participant_sid then return unchanged(p) end
local tracks = {}
for track in (p.tracks or ''):gmatch('[^;]+') do
  if track:match('^[^ ]+') ~= sid then tracks[#tracks + 1] = track end
end
if ARG.track ~= '' then tracks[#tracks + 1] = ARG.track end
table.sort(tracks)
local text = table.concat(tracks, ';')
if text == (p.tracks or '') then return unchanged(p) end
p.tracks = text ~= '' and text or nil
put(p, position(p))
tell('participant_updated', p, nil, nil, ARG.by ~= '' and ARG.by or nil)
return changed(p)
