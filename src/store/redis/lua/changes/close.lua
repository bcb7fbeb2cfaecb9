-- Ends the stream with the status 'stopped' or 'error'. First ends the visits of its participants, one batch for each
-- call; the answer 'partial' asks for another call.
local status, batch = ARG.status, CONST.close_batch
if stream.status == status then return unchanged() end
local is_permitted = stream.status == 'stopping' or (stream.status == 'creating' and status == 'error')
if not is_permitted then return invalid_transition(status) end

local present = redis.call('ZRANGE', KEY.active_order, 0, batch - 1)
for i = 1, #present do present[i] = identity_of(present[i]) end
table.sort(present)
for _, identity in ipairs(redis.call('ZRANGE', KEY.joining, 0, batch - 1)) do present[#present + 1] = identity end
for_each(present, function(p) end_visit(p, now) end)
if redis.call('EXISTS', KEY.active_order) + redis.call('EXISTS', KEY.joining) > 0 then
  return changed(nil, 'partial')
end

-- Unlisted participants have no events, so their entries are only removed.
if redis.call('EXISTS', KEY.unlisted) == 1 then
  redis.call('UNLINK', KEY.unlisted, KEY.recorder_order, KEY.hidden_order)
  stream.uncounted = '0'
end
end_ingresses()
end_egresses()
if stream.blocks ~= '' then
  redis.call('UNLINK', KEY.blocks, KEY.blocks_order, KEY.blocks_expiring)
  stream.blocks = ''
end
stream.stoppedAt, stream.emptySince, stream.lockedUntil = integer(now), '', ''
if ARG.reason ~= '' then stream.reason = ARG.reason end
move_to(status, status == 'stopped' and 'stream_stopped' or 'stream_updated')
return changed()
