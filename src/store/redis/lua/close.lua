-- The stream is over. Everybody still there is let go of first, a batch a call.
-- ARGV  1 'stopped' or 'error', 2 reason, or '' for the one that is known
local status = arg(1)
if s.status == status then return unchanged() end
if not (s.status == 'stopping' or (s.status == 'creating' and status == 'error')) then return no_such_move(status) end

local present = redis.call('SRANDMEMBER', K.active, BATCH)
for _, identity in ipairs(redis.call('SRANDMEMBER', K.agents, BATCH)) do present[#present + 1] = identity end
table.sort(present)
for _, identity in ipairs(redis.call('ZRANGE', K.joining, 0, BATCH - 1)) do present[#present + 1] = identity end
for i = 1, math.min(#present, BATCH) do end_visit(participant(present[i]), now) end
if redis.call('EXISTS', K.active) + redis.call('EXISTS', K.agents) + redis.call('EXISTS', K.joining) > 0 then return changed(nil, 'partial') end

-- Unlisted participants have no events: their entries simply end.
if redis.call('EXISTS', K.unlisted) == 1 then
  redis.call('UNLINK', K.unlisted)
  redis.call('ZREMRANGEBYLEX', K.order, '[2', '+')
  s.others = '0'
end
s.stoppedAt, s.emptySince, s.claimedUntil = integer(now), '', ''
if arg(2) ~= '' then s.reason = arg(2) end
move_to(status, status == 'stopped' and 'stream_stopped' or 'stream_updated')
return changed()
