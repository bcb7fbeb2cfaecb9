-- Reads the clock of a partition, and raises it to `floor` if it is behind. No later event has a cursor of a time
-- before the answered one, also if Redis's clock steps back.
-- Answer {time in milliseconds, newest cursor, cursor of the newest event before `floor` if `finds_event`, cursor of
-- `lost_until`}; '0-0' for a missing cursor
local floor = tonumber(ARG.floor_ms)
local time = math.max(now, floor, tonumber(redis.call('GET', KEY.clock_floor) or 0))
redis.call('SET', KEY.clock_floor, integer(time), 'PX', ARG.live_ttl_ms)
local before = {}
if ARG.finds_event ~= '' and floor > 0 then
  before = redis.call('XREVRANGE', KEY.events, integer(floor - 1), '-', 'COUNT', 1)
end
return {
  integer(time), redis.call('GET', KEY.tail) or '0-0', before[1] and cursor_of(before[1]) or '0-0',
  redis.call('GET', KEY.lost_until) or '0-0',
}
