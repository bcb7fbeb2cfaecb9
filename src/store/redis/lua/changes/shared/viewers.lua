-- Entries of plain viewers. A viewer is plain whose token set the role or is not of this service, and who has no
-- earlier visit, tracks, raised hand, removal or kind, as most of a counted audience. Changes of plain viewers write
-- and match entries as texts, because tables and cjson take longer than all commands. A space behind the brace marks
-- such an entry: cjson never writes it, so an entry that any other change has written is not a plain one. Quotation
-- marks within a value are escaped, so no value contains a member.

-- As `list_key`.
local function viewer_key(joined_at, identity)
  return CONST.audience_rank .. ':' .. string.format('%016d', CONST.end_of_time_ms - joined_at) .. ':' .. identity
end

-- An optional member of a JSON object; '' for the empty text.
local function text_member(name, text) return text ~= '' and ',"' .. name .. '":' .. cjson.encode(text) or '' end

-- Writes the entry of a plain viewer and returns it. `times` are the members behind `changedAt`, `members` those that
-- the entry of a visit has too, `rest` is the metadata with the members behind it.
local function put_viewer(identity, state, joined_at, times, members, rest)
  local json = '{ "state":"' .. state .. '","role":"viewer","joinedAt":"' .. joined_at .. '","changedAt":"' .. now_text
    .. times .. members .. ',"metadata":' .. rest
  if redis.call('HSET', KEY.participants, identity, json) == 1 then touch_common(KEY.participants) end
  written, written_json = json, json
  return json
end
