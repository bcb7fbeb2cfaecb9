-- Consumes one call of a rate limit, by the generic cell rate algorithm. `full_at` holds the time, in microseconds
-- since 1970, at which the whole limit is available again.
-- Answer {1 or 0 whether the call is permitted, microseconds until the whole limit is available, as text}
local interval, period = tonumber(ARG.interval_micros), tonumber(ARG.period_micros)
local full_at = math.max(tonumber(redis.call('GET', KEY.full_at) or now_micros), now_micros)
-- After the clock stepped back or the limit changed, the stored time must not block a caller for longer than the
-- period.
if full_at > now_micros + period then full_at = now_micros + period end
-- Doubles of this size are exact to half a microsecond.
local permitted = full_at + interval - now_micros <= period + 0.5
if permitted then
  full_at = full_at + interval
  local ttl = math.ceil((full_at - now_micros) / 1000) + 1
  redis.call('SET', KEY.full_at, string.format('%.3f', full_at), 'PX', ttl)
end
return { permitted and 1 or 0, string.format('%.3f', full_at - now_micros) }
