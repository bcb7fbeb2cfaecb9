-- A page of a stream's participants in list order.
-- KEYS  1 stream, 2 participants, 3 order, 4 unlisted
-- ARGV  1 '-' or '(' and the list key of the last entry before the page, 2 how many, 3 a state or '',
--       4 a kind, 'hidden', or '' for the listed participants of all kinds, 5 '1' to include hidden participants
-- Answer {1 if the stream exists, participants' JSON, the list key to go on from or ''}
-- With a filter, a page may be short although more follow: one call looks at no more than 5,000 entries.
local from, limit, state, kind, privileged = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5] == '1'
local exists, found, looked, last = redis.call('EXISTS', KEYS[1]), {}, 0, from:sub(2)
if kind == 'hidden' and not privileged then return { exists, found, '' } end

-- Unlisted entries come last in the order, with rank 2. Only hidden ones have another kind than egress.
local stop = (kind == '' or (kind ~= 'egress' and not privileged)) and '(2' or '+'
if from == '-' and (kind == 'hidden' or kind == 'egress') then from = '[2' end

local function wanted(text)
  if state == '' and kind == '' then return true end
  local p = cjson.decode(text)
  if state ~= '' and p.state ~= state then return false end
  if kind == '' then return true end
  if p.hidden and not privileged then return false end
  return kind == (p.kind or 'standard') or (kind == 'hidden' and p.hidden)
end

local function read(keys)
  local listed, unlisted, texts = {}, {}, {}
  for _, key in ipairs(keys) do
    local identities = key:sub(1, 1) == '2' and unlisted or listed
    identities[#identities + 1] = key:sub(20)
  end
  for hash, identities in pairs({ [KEYS[2]] = listed, [KEYS[4]] = unlisted }) do
    local first = identities == listed and 0 or #listed
    if #identities > 0 then
      for i, text in ipairs(redis.call('HMGET', hash, unpack(identities))) do texts[first + i] = text end
    end
  end
  return texts
end

while true do
  local keys = redis.call('ZRANGE', KEYS[3], from, stop, 'BYLEX', 'LIMIT', 0, 500)
  if #keys == 0 then return { exists, found, '' } end
  local texts = read(keys)
  for i, key in ipairs(keys) do
    if texts[i] and wanted(texts[i]) then
      if #found == limit then return { exists, found, last } end
      found[#found + 1], last = texts[i], key
    end
    from, looked = '(' .. key, looked + 1
  end
  if looked >= 5000 then
    -- The position without the identity, which may be a hidden participant's.
    return { exists, found, from:sub(2, 20) }
  end
end
