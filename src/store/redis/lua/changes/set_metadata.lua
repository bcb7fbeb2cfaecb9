-- Replaces the stream's metadata, if it still is `expected`.
if stream.status ~= 'creating' and stream.status ~= 'active' then return rejected('not_active', stream.status) end
if metadata() ~= cjson.encode(ARG.expected) then return rejected('metadata', '') end
if ARG.expected == ARG.metadata then return unchanged() end
set_metadata(ARG.metadata)
emit('stream_updated')
return changed()
