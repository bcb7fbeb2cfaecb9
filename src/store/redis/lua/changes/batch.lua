-- Several changes of one stream, as if they had been called one after another. The stream's part is read and written
-- once. The argument has for each change its name, the number of its own values, its deduplication key, that key's TTL,
-- and its own values. Answer {{'batch', stream}, outcome of each change}; {'failed'} is the outcome of a change that
-- an error has ended. Changes without an outcome were not begun: the call ends after a failed one, and after
-- CONST.batch_bytes of participants. Or {{'not_found'}}, or {{'refused'}} if each change must be called alone.
if not load() then return { { 'not_found' } } end

-- The whole changes by name, which are defined when a change first needs more than its early part. They have the
-- functions of events.
local changes
local function define_changes()
  deferred()
  changes = { connect = connect, disconnect = disconnect, issue_token = issue_token }
end
if is_counted() then
  check_permissions()
else
  local denial = define_changes()
  if denial then return denial end
end
-- A full Redis refuses only those changes whose own first write uses memory. This writes nothing, and fails where such
-- a write would.
if redis.pcall('ZADD', KEY.never, 'XX', '0', '') ~= 0 then return { { 'refused' } } end

-- Changes of plain viewers of a counted stream need no more than these.
local early_changes = { connect = connect_early, disconnect = disconnect_early, issue_token = issue_token_early }
local HEAD = 4

local function make(name)
  local outcome = is_counted() and early_changes[name]()
  if outcome then return outcome end
  -- A change without permissions fails here, and is called alone.
  local denial = not changes and define_changes()
  return denial and { 'failed' } or changes[name]()
end

local function outcome_of(name)
  if dedup_key ~= '' and (new_dedup_keys[dedup_key] or redis.call('EXISTS', dedup_key) == 1) then
    return answer('duplicate')
  end
  local is_complete, outcome = pcall(make, name)
  return is_complete and outcome or { 'failed' }
end

local outcomes, first, bytes = { {} }, 1, 0
while first <= #ARG.changes and bytes < CONST.batch_bytes do
  dedup_key, dedup_ttl, at = ARG.changes[first + 2], ARG.changes[first + 3], first + HEAD
  local outcome = outcome_of(ARG.changes[first])
  outcomes[#outcomes + 1] = outcome
  first = at + ARG.changes[first + 1]
  -- The participant's entry, which was read and written, is in the outcome.
  bytes = outcome[1] == 'failed' and CONST.batch_bytes or bytes + #(outcome[2] or '')
end
write()
for key, ttl in pairs(new_dedup_keys) do redis.call('SET', key, stream.id, 'PX', ttl) end
outcomes[1] = { 'batch', stream_json(true) }
return outcomes
