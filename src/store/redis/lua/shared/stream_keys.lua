-- Deletes all keys of a stream. UNLINK frees large keys in another thread of Redis; their expiry would not.
local function unlink_stream(id)
  local keys = {}
  for i, suffix in ipairs(CONST.stream_key_suffixes) do keys[i] = ARG.stream_key_prefix .. id .. suffix end
  redis.call('UNLINK', unpack(keys))
end
