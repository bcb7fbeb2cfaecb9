-- A page of a list of streams, with what tells whether each has changed.
-- KEYS  1 a list of list keys
-- ARGV  1 '+' or '(' and the list key of the last one of the page before, 2 how many, 3 what stands before an id in the
--       key of a stream's hash
-- Answer {list key, and the fields of its mark, '' for one that is missing ... of each}
local found = {}
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[2])) do
  local mark = redis.call('HMGET', ARGV[3] .. key:sub(18), 'cursor', 'claimedUntil', 'others')
  found[#found + 1] = key
  for i = 1, 3 do found[#found + 1] = mark[i] or '' end
end
return found
