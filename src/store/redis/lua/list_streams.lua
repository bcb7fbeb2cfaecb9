-- Reads a page of a list of streams, newest first, with the version of each stream's state. The page ends after `limit`
-- streams, or before the stream with which their metadata would exceed CONST.page_bytes.
-- `from` is '+', or '(' and the last list key of the page before.
-- Answer {the list key to continue after or '', then for each stream: list key, values of the version's fields}; '' for
-- a missing value
-- The approximate size of a stream without its metadata.
local BASE_BYTES = 1000
local page, bytes, limit = { '' }, 0, tonumber(ARG.limit)
local keys = redis.call('ZRANGE', KEY.list, ARG.from, '-', 'BYLEX', 'REV', 'LIMIT', 0, limit + 1)
for i, key in ipairs(keys) do
  local stream_key, fields = ARG.stream_key_prefix .. stream_id_of(key), CONST.state_version_fields
  local values = redis.call('HMGET', stream_key, 'metadataBytes', unpack(fields))
  bytes = bytes + BASE_BYTES + (tonumber(values[1]) or 0)
  if i > 1 and (i > limit or bytes > CONST.page_bytes) then
    page[1] = keys[i - 1]
    return page
  end
  page[#page + 1] = key
  for n = 1, #fields do page[#page + 1] = values[n + 1] or '' end
end
return page
