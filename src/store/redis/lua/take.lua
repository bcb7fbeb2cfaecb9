-- One more of a quota: the generic cell rate algorithm. What is kept is the time at which all of the quota is free again.
-- KEYS  1 rate    string  that time, in microseconds since the epoch
-- ARGV  1 microseconds after which one comes back, 2 microseconds after which all have
-- Answer {1 or 0 whether it was granted, microseconds until all is free again, as text}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local free = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
-- A clock that was set back, or a limit that was changed, must not lock anybody out.
if free > now + period then free = now + period end
-- Half a microsecond is what doubles of this size may be off by.
local granted = free + interval - now <= period + 0.5
if granted then
  free = free + interval
  redis.call('SET', KEYS[1], string.format('%.3f', free), 'PX', math.ceil((free - now) / 1000) + 1)
end
return { granted and 1 or 0, string.format('%.3f', free - now) }
