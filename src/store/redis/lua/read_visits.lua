-- Reads a page of ended visits: those after a cursor, or the oldest ones if the log cannot continue from it.
-- Answer {1 if the log continues from the cursor, cursor before the oldest visit of the log or '', {cursor of the last
--         visit of the page or '', visits' JSON...}}
local first = redis.call('XRANGE', KEY.visits, '-', '+', 'COUNT', 1)[1]
if not first then return { 0, '', { '' } } end
local previous = previous_of(first)
local function has_cursor() return #redis.call('XRANGE', KEY.visits, ARG.after, ARG.after) == 1 end
local is_next = ARG.after ~= '-' and (ARG.after == previous or has_cursor())
local entries = redis.call('XRANGE', KEY.visits, is_next and '(' .. ARG.after or '-', '+', 'COUNT', ARG.limit)
local page = { '' }
for i, entry in ipairs(entries) do page[1], page[i + 1] = cursor_of(entry), event_of(entry) end
return { is_next and 1 or 0, previous, page }
