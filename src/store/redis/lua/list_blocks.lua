-- Reads a page of a stream's blocks, oldest first. The page ends after `limit` blocks, or with the batch of blocks that
-- exceeds CONST.page_bytes.
-- `from` is '-', or '(' and the list key of the last block of the page before.
-- Answer {the list key to continue after or '', then for each block: identity, JSON}
local BATCH = 16
local limit, page, last, bytes = tonumber(ARG.limit), { '' }, 1, 0
local keys = redis.call('ZRANGE', KEY.blocks_order, ARG.from, '+', 'BYLEX', 'LIMIT', 0, limit + 1)
local count = math.min(#keys, limit)
for first = 1, count, BATCH do
  local identities = {}
  for i = first, math.min(first + BATCH - 1, count) do identities[#identities + 1] = blocked_identity_of(keys[i]) end
  for i, json in ipairs(redis.call('HMGET', KEY.blocks, unpack(identities))) do
    if json then
      page[last + 1], page[last + 2] = identities[i], json
      last, bytes = last + 2, bytes + #identities[i] + #json
    end
  end
  local read = first + #identities - 1
  if read < #keys and (bytes > CONST.page_bytes or read == count) then
    page[1] = keys[read]
    return page
  end
end
return page
