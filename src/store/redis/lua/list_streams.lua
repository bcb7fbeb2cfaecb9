-- Reads a page of a list of streams, newest first, with the version of each stream's state. The page ends after `limit`
-- streams, or before the stream with which their metadata would exceed CONST.page_bytes.
-- `from` is '+', or '(' and the last list key of the page before.
-- Answer {the list key to continue after or '', then for each stream: list key, `state` or '' for a missing stream}
-- The approximate size of a stream without its metadata.
local BASE_BYTES = 1000
local call, prefix, limit = redis.call, ARG.stream_key_prefix, tonumber(ARG.limit)
local page, last, bytes = { '' }, 1, 0
local keys = call('ZRANGE', KEY.list, ARG.from, '-', 'BYLEX', 'REV', 'LIMIT', 0, limit + 1)
for i = 1, #keys do
  local values = call('HMGET', prefix .. stream_id_of(keys[i]), 'state', 'metadataBytes')
  local metadata_bytes = values[2]
  bytes = bytes + BASE_BYTES
  if metadata_bytes and metadata_bytes ~= '' then bytes = bytes + metadata_bytes end
  if i > 1 and (i > limit or bytes > CONST.page_bytes) then
    page[1] = keys[i - 1]
    return page
  end
  page[last + 1], page[last + 2] = keys[i], values[1] or ''
  last = last + 2
end
return page
