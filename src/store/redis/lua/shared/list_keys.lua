-- The parts of list keys: '<creation time>:<stream id>' of a stream, '<rank>:<time>:<identity>' of a participant,
-- with a rank of 1 digit and a time of 16.
local function stream_id_of(list_key) return list_key:sub(list_key:find(':', 1, true) + 1) end
local function identity_of(list_key) return list_key:sub(20) end
