-- Raises or lowers a participant's hand. A host has none.

-- The number of old raisings that one call forgets, more than it adds.
local OLD_BATCH = '100'

if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local p = participant(ARG.identity)
if not p then return rejected('participant', '') end
local is_raised = ARG.is_raised ~= ''
if is_raised and is_blocked(ARG.identity) then return rejected('blocked', '') end
if is_raised and p.state == 'disconnected' then return rejected('absent', '') end
if is_raised == (p.handRaisedAt ~= nil) or (is_raised and p.role == 'host') then return unchanged(p) end

-- Raised hands have a rank of their own in the lists of the present participants.
local function hands_in(order)
  return redis.call('ZLEXCOUNT', order, '[' .. CONST.hand_rank .. ':', '(' .. CONST.hand_rank .. ';')
end
if is_raised and hands_in(KEY.active_order) + hands_in(KEY.joining_order) >= CONST.max_hands then
  return rejected('hands', integer(CONST.max_hands))
end

-- As HandRate::take. The member '' stands for all participants.
local function take(member, rate)
  local paid = math.max(tonumber(redis.call('ZSCORE', KEY.raisings, member) or 0), now) + rate.interval
  return paid <= now + rate.interval * rate.burst and integer(paid)
end
if is_raised then
  local own, all = take(p.identity, CONST.hands_of_participant), take('', CONST.hands_of_stream)
  if not own or not all then return rejected('frequent', '') end
  redis.call('ZADD', KEY.raisings, own, p.identity, all, '')
  local old = redis.call('ZRANGEBYSCORE', KEY.raisings, '-inf', now_text, 'LIMIT', '0', OLD_BATCH)
  if #old > 0 then redis.call('ZREM', KEY.raisings, unpack(old)) end
  redis.call('PEXPIRE', KEY.raisings, integer(CONST.hands_of_stream.interval * CONST.hands_of_stream.burst))
end
put_hand(p, is_raised and now_text or nil, ARG.by ~= '' and ARG.by or nil)
return changed(p)
