-- Reads a stream and its first participants as of one moment. The participants end after `limit` entries, or before the
-- entry with which they would have more than CONST.page_bytes. In a counted stream they are those on stage, which are
-- first in the order.
-- Answer {the stream's fields and values, the participants' JSON in list order, 1 if the stream has more participants}
local fields = redis.call('HGETALL', KEY.stream)
local found, bytes, has_more, limit = {}, 0, 0, tonumber(ARG.limit)
if #fields == 0 then return { fields, found, has_more } end
local sets = { KEY.joining_order, KEY.active_order, KEY.disconnected_order }
local is_counted = redis.call('HGET', KEY.stream, 'state'):find(' counted ', 1, true) ~= nil
each_entry(sets, KEY.participants, '-', function(json, key)
  if is_counted and key:sub(1, 1) > CONST.hand_rank then return true end
  bytes = bytes + #json
  if #found == limit or bytes > CONST.page_bytes then
    has_more = 1
    return true
  end
  found[#found + 1] = json
end)
return { fields, found, has_more }
