-- Blocks of identities: the hash `blocks` by identity, the sorted set `blocks_order` of their list keys, and the sorted
-- set `blocks_expiring` of those that expire.

-- As Block::list_key.
local function block_list_key(identity, block)
  return string.format('%016d', math.max(block.blockedAt, 0)) .. ':' .. identity
end

-- Changes the number of blocks, which is '' for none.
local function count_block(change)
  local count = (tonumber(stream.blocks) or 0) + change
  stream.blocks = count > 0 and integer(count) or ''
end

-- Schedules the end of the next block that expires.
local function schedule_unblocking()
  schedule_at(CONST.block_job, redis.call('ZRANGE', KEY.blocks_expiring, '0', '0', 'WITHSCORES')[2])
end

-- Ends a block, whose JSON is `json`, with its event.
local function end_block(identity, json, by)
  redis.call('HDEL', KEY.blocks, identity)
  redis.call('ZREM', KEY.blocks_order, block_list_key(identity, cjson.decode(json)))
  redis.call('ZREM', KEY.blocks_expiring, identity)
  count_block(-1)
  emit('participant_unblocked', nil, nil, nil, nil, by, identity)
end
