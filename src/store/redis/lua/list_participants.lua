-- Reads a page of a stream's participants in list order.
-- `from` is '-', or '(' and the list key of the last entry before the page. `state` and `kind` are '' for all listed
-- participants; `kind` may be 'hidden'. `shows_hidden` is '1' to include hidden participants.
-- Answer {the stream's cursor or false, participants' JSON, the list key to continue after or ''}
-- A page may be short although more entries follow, because one call reads a bounded number of entries and bytes.
local limit, state, kind, shows_hidden = tonumber(ARG.limit), ARG.state, ARG.kind, ARG.shows_hidden ~= ''
local MAX_READ = 1000
-- The entries of a page with `kind` are searched for it, which takes longer.
local max_bytes = kind == '' and CONST.page_bytes or CONST.page_bytes / 4

local listed, unlisted, is_recorder = {}, {}, kind == 'egress'
local by_state = { joining = KEY.joining_order, active = KEY.active_order, disconnected = KEY.disconnected_order }
for name, set in pairs(by_state) do
  if (state == '' or state == name) and kind ~= 'hidden' and not is_recorder then listed[#listed + 1] = set end
end
-- Unlisted participants are connected. Each of them that is not a recorder is hidden.
if kind ~= '' and (state == '' or state == 'active') then
  if is_recorder then unlisted[#unlisted + 1] = KEY.recorder_order end
  if shows_hidden then unlisted[#unlisted + 1] = KEY.hidden_order end
end

-- In JSON, quotation marks within a text are escaped, so the field's name and value are not part of another value.
local field = kind == 'standard' and '"kind":"' or '"kind":"' .. kind .. '"'
local function matches(json)
  return kind == '' or kind == 'hidden' or (json:find(field, 1, true) ~= nil) == (kind ~= 'standard')
end

local found, read, bytes, last, next_from = {}, 0, 0, '', ''
local function visit(json, key)
  if #found == limit or read == MAX_READ or (read > 0 and bytes + #json > max_bytes) then
    next_from = last
    return true
  end
  read, bytes, last = read + 1, bytes + #json, key
  if matches(json) then found[#found + 1] = json end
end

-- Unlisted participants are last in the order.
local is_full = each_entry(listed, KEY.participants, ARG.from, visit)
if not is_full then each_entry(unlisted, KEY.unlisted, ARG.from, visit) end
local state = redis.call('HGET', KEY.stream, 'state')
return { state and state:match('^%S*'), found, next_from }
