-- Replaces the metadata.
-- ARGV  1 the text that it must be now, 2 the new text
if s.status ~= 'creating' and s.status ~= 'active' then return rejected('not_active', s.status) end
if s.metadata ~= arg(1) then return rejected('metadata', '') end
if s.metadata == arg(2) then return unchanged() end
s.metadata = arg(2)
emit('stream_updated')
return changed()
