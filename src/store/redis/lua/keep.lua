-- Renews what belongs to streams that live, and takes streams that are no longer there out of the lists. A page a call.
-- KEYS  1 all, 2 live, 3 creating, 4 active, 5 stopping, 6 stopped, 7 error, 8 over, 9 due, 10 total,
--       11 events, 12 tail
-- ARGV  1 '-' or '(' and the list key of the last one of the page before, 2 how many, 3 milliseconds that keys of a
--       live stream live, 4 what stands before an id in the key of a stream's hash, 5 what stands before a room's name
-- Answer {the list key to go on from or '', how many were renewed, how many were taken out}
local renewed, dropped, recount = 0, 0, false
local keys = redis.call('ZRANGE', KEYS[1], ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[2])
for _, key in ipairs(keys) do
  local id = key:sub(18)
  local stream = ARGV[4] .. id
  local left = redis.call('PTTL', stream)
  if left == -2 then
    -- One that was over has only expired a moment before it is taken out by `due`.
    dropped = dropped + (redis.call('ZSCORE', KEYS[8], key) and 0 or 1)
    recount = recount or redis.call('ZSCORE', KEYS[2], key)
    for i = 1, 8 do redis.call('ZREM', KEYS[i], key) end
    for _, what in ipairs({ 'j:', 'i:', 's:' }) do redis.call('ZREM', KEYS[9], what .. id) end
  -- Not every time: a stream that is not renewed now is so long before it expires.
  elseif left < ARGV[3] / 2 and redis.call('ZSCORE', KEYS[2], key) then
    local status, room = unpack(redis.call('HMGET', stream, 'status', 'roomName'))
    if status ~= 'error' then
      for _, part in ipairs({ '', ':participants', ':active', ':joining', ':order', ':gone', ':log', ':unlisted', ':agents' }) do
        redis.call('PEXPIRE', stream .. part, ARGV[3])
      end
      redis.call('PEXPIRE', ARGV[5] .. room, ARGV[3])
      renewed = renewed + 1
    end
  end
end
for i = 1, 12 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
-- Who was in a stream that has vanished can no longer be told: count again who is there. Rare, so it may take a while.
if recount then
  local total = 0
  for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    total = total + redis.call('SCARD', ARGV[4] .. key:sub(18) .. ':active')
  end
  redis.call('SET', KEYS[10], total, 'PX', ARGV[3])
end
return { #keys == tonumber(ARGV[2]) and keys[#keys] or '', renewed, dropped }
