-- Reads a page of a stream's participants in list order.
-- `from` is '-', or '(' and the list key of the last entry before the page. `state` and `kind` are '' for all listed
-- participants; `kind` may be 'hidden'. `shows_hidden` is '1' to include hidden participants.
-- Answer {1 if the stream exists, participants' JSON, the list key to continue after or ''}
-- With a filter, a page may be short although more entries follow, because one call reads a bounded number of entries.
local MAX_READ, BATCH = 5000, 500
local limit, state, kind, shows_hidden = tonumber(ARG.limit), ARG.state, ARG.kind, ARG.shows_hidden ~= ''
local exists, found, read, last = redis.call('EXISTS', KEY.stream), {}, 0, ''
if kind == 'hidden' and not shows_hidden then return { exists, found, '' } end

-- Unlisted entries are last in the order. Each of them that is not a recorder (egress) is hidden.
local from, to = ARG.from, '+'
if kind == '' or (kind ~= 'egress' and not shows_hidden) then to = '(' .. CONST.unlisted_rank end
if from == '-' and (kind == 'hidden' or kind == 'egress') then from = '[' .. CONST.unlisted_rank end

local function matches(json)
  if state == '' and kind == '' then return true end
  local p = cjson.decode(json)
  if state ~= '' and p.state ~= state then return false end
  if kind == '' then return true end
  if p.hidden and not shows_hidden then return false end
  return kind == (p.kind or 'standard') or (kind == 'hidden' and p.hidden)
end

local function append_entries(entries, hash, identities)
  if #identities == 0 then return end
  local first = #entries
  for i, json in ipairs(redis.call('HMGET', hash, unpack(identities))) do entries[first + i] = json end
end

-- Reads the entries of list keys. Listed participants precede unlisted ones in the list and in the answer.
local function read_entries(keys)
  local listed, unlisted, entries = {}, {}, {}
  for _, key in ipairs(keys) do
    local identities = key:sub(1, 1) == CONST.unlisted_rank and unlisted or listed
    identities[#identities + 1] = identity_of(key)
  end
  append_entries(entries, KEY.participants, listed)
  append_entries(entries, KEY.unlisted, unlisted)
  return entries
end

while true do
  local keys = redis.call('ZRANGE', KEY.order, from, to, 'BYLEX', 'LIMIT', 0, BATCH)
  if #keys == 0 then return { exists, found, '' } end
  local entries = read_entries(keys)
  for i, key in ipairs(keys) do
    if entries[i] and matches(entries[i]) then
      if #found == limit then return { exists, found, last } end
      found[#found + 1], last = entries[i], key
    end
    from, read = '(' .. key, read + 1
  end
  -- The identity may be a hidden participant's, so the position does not contain it.
  if read >= MAX_READ then return { exists, found, without_identity(keys[#keys]) } end
end
