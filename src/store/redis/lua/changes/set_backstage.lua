-- Takes the stream backstage or live. The visits of present viewers end when LiveKit has removed them.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
if stream.backstage == ARG.backstage then return unchanged() end
local is_live = ARG.backstage == ''
stream.backstage = ARG.backstage
if is_live then stream.liveAt = integer(now) end
emit(is_live and 'stream_live_started' or 'stream_live_stopped', nil, nil, nil, nil, ARG.by ~= '' and ARG.by or nil)
return changed()
