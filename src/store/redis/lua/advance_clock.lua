-- Reads the clock of a partition, and raises it to `floor` if it is behind. No later event has a cursor of a time
-- before the answered one, also if Redis's clock steps back.
-- A Redis that refuses writes for want of memory, disk or replicas answers its own clock instead, so that it does not
-- hold up the events of other partitions: only endings are events of it then, in the order of that clock.
-- Answer {time in milliseconds, newest cursor, cursor of the newest event before `floor` if `finds_event`, cursor of
-- `lost_until`}; '0-0' for a missing cursor
local floor = tonumber(ARG.floor_ms)
local known = math.max(now, tonumber(redis.call('GET', KEY.clock_floor) or 0))
local time = math.max(known, floor)
local refusal = redis.pcall('SET', KEY.clock_floor, integer(time), 'PX', ARG.live_ttl_ms).err
if refusal then
  local code = refusal:match('^%-?(%u+)')
  if code ~= 'OOM' and code ~= 'MISCONF' and code ~= 'NOREPLICAS' then return { err = refusal } end
  time = known
end
local before = {}
if ARG.finds_event ~= '' and floor > 0 then
  before = redis.call('XREVRANGE', KEY.events, integer(floor - 1), '-', 'COUNT', 1)
end
return {
  integer(time), redis.call('GET', KEY.tail) or '0-0', before[1] and cursor_of(before[1]) or '0-0',
  redis.call('GET', KEY.lost_until) or '0-0',
}
