-- Several changes of one stream, as if they had been called one after another. The stream's part is read and written
-- once. The argument has for each change its name, the number of its own values, its deduplication key, that key's TTL,
-- and its own values. Answer {{'batch', stream}, outcome of each change}; {'failed'} is the outcome of a change that
-- an error has ended. Or {{'not_found'}}, or {{'refused'}} if each change must be called alone.
if not load() then return { { 'not_found' } } end
check_permissions()
-- A full Redis refuses only those changes whose own first write uses memory. This writes nothing, and fails where such
-- a write would.
if redis.pcall('ZADD', KEY.never, 'XX', '0', '') ~= 0 then return { { 'refused' } } end

local CHANGES = { connect = connect, disconnect = disconnect, issue_token = issue_token }
local HEAD = 4

local function outcome_of(change)
  if dedup_key ~= '' and redis.call('EXISTS', dedup_key) == 1 then return answer('duplicate') end
  local is_complete, outcome = pcall(change)
  return is_complete and outcome or { 'failed' }
end

local outcomes, first = { {} }, 1
while first <= #ARG.changes do
  dedup_key, dedup_ttl, at = ARG.changes[first + 2], ARG.changes[first + 3], first + HEAD
  outcomes[#outcomes + 1] = outcome_of(CHANGES[ARG.changes[first]])
  first = at + ARG.changes[first + 1]
end
write()
outcomes[1] = { 'batch', stream_json(true) }
return outcomes
