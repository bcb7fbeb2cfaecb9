-- The end of one of several changes of a call, see batch.lua. Answer {effect, participant}, or
-- {'rejected', reason, detail}, as in single.lua.

-- Where the values of the current change begin in the argument, and its deduplication key; '' without one.
local at, dedup_key, dedup_ttl

local function answer(effect, p) return { effect, p and json_of(p) or '' } end

-- The deduplication keys of this call, with their TTLs. They are written last, so that a change is repeated if an error
-- ends the script.
local new_dedup_keys = {}
local function record_dedup_key()
  if dedup_key ~= '' then new_dedup_keys[dedup_key] = dedup_ttl end
end

local function finish(p, effect)
  record_dedup_key()
  return answer(effect, p)
end
