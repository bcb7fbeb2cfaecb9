-- Finds the newest event at or before a cursor.
-- Answer its cursor; without such an event, the cursor before the oldest one, or the newest cursor of an empty log
local newest = redis.call('XREVRANGE', KEY.events, ARG.at, '-', 'COUNT', 1)[1]
if newest then return cursor_of(newest) end
local first = redis.call('XRANGE', KEY.events, '-', '+', 'COUNT', 1)[1]
return first and previous_of(first) or redis.call('GET', KEY.tail) or '0-0'
