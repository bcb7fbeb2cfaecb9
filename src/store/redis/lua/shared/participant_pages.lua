-- Pages of participants in list order. A list key is in one of several sorted sets, which a page merges.

local KEY_BATCH = 64
-- The number of entries that one command reads, so that a page of large entries is never in memory as a whole before it
-- is cut.
local ENTRY_BATCH = 8

-- Whether list key `a` is before `b` by their bytes. Lua itself compares texts by the locale of the Redis process.
local function precedes(a, b)
  -- Rank and time have the same number of digits in all keys, and every locale orders digits alike.
  local x, y = a:sub(1, 18), b:sub(1, 18)
  if x ~= y then return x < y end
  local same, longest = 18, math.min(#a, #b)
  while same < longest do
    local middle = math.ceil((same + longest) / 2)
    if a:sub(same + 1, middle) == b:sub(same + 1, middle) then same = middle else longest = middle - 1 end
  end
  return (a:byte(same + 1) or -1) < (b:byte(same + 1) or -1)
end

-- Moves a source to its next list key, which is nil at the end. A source reads one sorted set.
local function advance(source)
  source.at = source.at + 1
  if source.at > KEY_BATCH then
    source.keys = redis.call('ZRANGE', source.set, source.from, '+', 'BYLEX', 'LIMIT', 0, KEY_BATCH)
    source.at, source.from = 1, '(' .. (source.keys[KEY_BATCH] or '')
  end
  source.key = source.keys[source.at]
end

local function first_of(sources)
  local first
  for i = 1, #sources do
    local source = sources[i]
    if source.key and (not first or precedes(source.key, first.key)) then first = source end
  end
  return first
end

local function read_list_keys(sources)
  local keys, source = {}, first_of(sources)
  while source and #keys < ENTRY_BATCH do
    keys[#keys + 1] = source.key
    advance(source)
    source = first_of(sources)
  end
  return keys
end

-- Calls `visit` with the JSON and the list key of each entry of the sorted sets from `from` on, until it returns true.
-- `from` is '-', or '(' and a list key; the entries are in `hash`. Returns whether `visit` has returned true.
local function each_entry(sets, hash, from, visit)
  local sources = {}
  for _, set in ipairs(sets) do
    local source = { set = set, from = from, at = KEY_BATCH }
    advance(source)
    if source.key then sources[#sources + 1] = source end
  end
  repeat
    local keys, identities = read_list_keys(sources), {}
    for i, key in ipairs(keys) do identities[i] = identity_of(key) end
    local entries = #keys > 0 and redis.call('HMGET', hash, unpack(identities)) or {}
    for i, json in ipairs(entries) do
      if json and visit(json, keys[i]) then return true end
    end
  until #keys < ENTRY_BATCH
end
