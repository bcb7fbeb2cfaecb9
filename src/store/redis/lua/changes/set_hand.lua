-- Raises or lowers a participant's hand. A host has none.
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
put_hand(p, is_raised and now_text or nil, ARG.by ~= '' and ARG.by or nil)
return changed(p)
