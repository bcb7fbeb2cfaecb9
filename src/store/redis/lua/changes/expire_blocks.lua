-- Ends blocks whose time has passed.
local expired = redis.call('ZRANGEBYSCORE', KEY.blocks_expiring, '-inf', now_text, 'LIMIT', 0, CONST.close_batch + 1)
if #expired == 0 then
  schedule_unblocking()
  return unchanged()
end
for i = 1, math.min(#expired, CONST.close_batch) do
  end_block(expired[i], redis.call('HGET', KEY.blocks, expired[i]))
end
schedule_unblocking()
return changed(nil, #expired > CONST.close_batch and 'partial' or 'changed')
