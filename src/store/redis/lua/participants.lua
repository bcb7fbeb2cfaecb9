-- A page of a stream's participants in list order.
-- KEYS  1 stream, 2 participants, 3 order
-- ARGV  1 '-' or '(' and the list key of the last entry before the page, 2 how many, 3 a state or ''
-- Answer {1 if the stream exists, participants' JSON, the list key to go on from or ''}
-- With a state, a page may be short although more follow: one call looks at no more than 5,000 entries.
local from, limit, state, found, looked = ARGV[1], tonumber(ARGV[2]), ARGV[3], {}, 0
local exists = redis.call('EXISTS', KEYS[1])
while true do
  local keys = redis.call('ZRANGE', KEYS[3], from, '+', 'BYLEX', 'LIMIT', 0, 500)
  if #keys == 0 then return { exists, found, '' } end
  local identities = {}
  for i, key in ipairs(keys) do identities[i] = key:sub(20) end
  for i, text in ipairs(redis.call('HMGET', KEYS[2], unpack(identities))) do
    if text and (state == '' or cjson.decode(text).state == state) then
      if #found == limit then return { exists, found, from:sub(2) } end
      found[#found + 1] = text
    end
    from, looked = '(' .. keys[i], looked + 1
  end
  if looked >= 5000 then return { exists, found, from:sub(2) } end
end
