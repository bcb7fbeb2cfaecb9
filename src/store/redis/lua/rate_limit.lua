-- Counts one call against a rate limit if the limit has room for it, by the generic cell rate algorithm, or `charge`
-- units in any case. `full_at` holds the time, in microseconds since 1970, at which the whole limit is available again.
-- Answer {1 or 0 whether the call is permitted, microseconds until the whole limit is available, as text}
local interval, period = tonumber(ARG.interval_micros), tonumber(ARG.period_micros)
-- Charges, a clock that stepped back and a limit that has changed must not block a caller for longer.
local latest = now_micros + ARG.max_debt_micros
local full_at = math.max(tonumber(redis.call('GET', KEY.full_at) or now_micros), now_micros)
full_at = math.min(full_at, latest)
-- Doubles of this size are exact to half a microsecond.
local permitted = ARG.charge ~= '' or full_at + interval - now_micros <= period + 0.5
if permitted then
  if ARG.charge ~= '' then
    full_at = math.min(full_at + interval * ARG.charge, latest)
  else
    full_at = math.min(full_at + interval, now_micros + period)
  end
  local ttl = math.ceil((full_at - now_micros) / 1000) + 1
  redis.call('SET', KEY.full_at, string.format('%.3f', full_at), 'PX', ttl)
end
return { permitted and 1 or 0, string.format('%.3f', full_at - now_micros) }
