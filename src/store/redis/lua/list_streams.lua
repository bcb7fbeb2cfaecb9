-- Reads a page of a list of streams, newest first, with the version of each stream's state.
-- `from` is '+', or '(' and the last list key of the page before.
-- Answer {list key, values of the version's fields, '' for a missing one, ...} for each stream
local page = {}
for _, key in ipairs(redis.call('ZRANGE', KEY.list, ARG.from, '-', 'BYLEX', 'REV', 'LIMIT', 0, ARG.limit)) do
  local fields = CONST.state_version_fields
  local version = redis.call('HMGET', ARG.stream_key_prefix .. stream_id_of(key), unpack(fields))
  page[#page + 1] = key
  for i = 1, #fields do page[#page + 1] = version[i] or '' end
end
return page
