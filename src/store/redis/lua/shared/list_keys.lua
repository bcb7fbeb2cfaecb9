-- The parts of list keys: '<creation time>:<stream id>' of a stream, '<rank>:<time>:<identity>' of a participant,
-- '<time>:<identity>' of a block. A rank has 1 digit, the time of a participant or a block 16.
local function stream_id_of(list_key) return list_key:sub(list_key:find(':', 1, true) + 1) end
local function identity_of(list_key) return list_key:sub(20) end
local function blocked_identity_of(list_key) return list_key:sub(18) end
