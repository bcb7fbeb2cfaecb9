-- Blocks an identity and lowers its hand, or replaces the reason and the expiry of its block. The answer has the
-- identity and the block too.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local identity, p = ARG.identity, participant(ARG.identity)
local json = redis.call('HGET', KEY.blocks, identity)
if not json and tonumber(stream.blocks) == CONST.max_blocks then return rejected('too_many_blocks', stream.blocks) end
local by = ARG.by ~= '' and ARG.by or nil
local block = json and cjson.decode(json) or { blockedAt = now_text, by = by }
local reason = ARG.reason ~= '' and ARG.reason or nil
local expires_at = ARG.expires_in_ms ~= '' and integer(now + ARG.expires_in_ms) or nil
local function with_block(answered)
  answered[4], answered[5] = identity, cjson.encode(block)
  return answered
end
if json and block.reason == reason and block.expiresAt == expires_at then return with_block(unchanged(p)) end
block.reason, block.expiresAt = reason, expires_at
if redis.call('HSET', KEY.blocks, identity, cjson.encode(block)) == 1 then
  redis.call('ZADD', KEY.blocks_order, '0', block_list_key(identity, block))
  touch(KEY.blocks)
  touch(KEY.blocks_order)
end
if expires_at then
  if redis.call('ZADD', KEY.blocks_expiring, expires_at, identity) == 1 then touch(KEY.blocks_expiring) end
else
  redis.call('ZREM', KEY.blocks_expiring, identity)
end
schedule_unblocking()
if not json then
  count_block(1)
  emit('participant_blocked', nil, nil, nil, nil, by, identity)
  if p and p.handRaisedAt then put_hand(p, nil, by) end
end
return with_block(changed(p))
