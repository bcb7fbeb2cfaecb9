-- The parts of list keys: '<creation time>:<stream id>' of a stream, '<rank>:<time>:<identity>' of a participant.
local function stream_id_of(list_key) return list_key:sub(list_key:find(':', 1, true) + 1) end
local function identity_of(list_key) return list_key:match('^[^:]*:[^:]*:(.*)$') end
local function without_identity(list_key) return list_key:match('^[^:]*:[^:]*:') end
