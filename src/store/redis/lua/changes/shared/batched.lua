-- The end of one of several changes of a call, see batch.lua. Answer {effect, participant}, or
-- {'rejected', reason, detail}, as in single.lua.

-- Where the values of the current change begin in the argument, and its deduplication key; '' without one.
local at, dedup_key, dedup_ttl

local function answer(effect, p) return { effect, p and json_of(p) or '' } end

local function record_dedup_key()
  if dedup_key ~= '' then redis.call('SET', dedup_key, stream.id, 'PX', dedup_ttl) end
end

local function finish(p, effect)
  record_dedup_key()
  return answer(effect, p)
end
