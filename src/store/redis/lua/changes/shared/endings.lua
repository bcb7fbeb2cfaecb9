-- The ends of every change.

-- Ends a script that had nothing to change.
local function unchanged(p)
  renew_touched()
  record_dedup_key()
  return answer('unchanged', p)
end

-- Ends a change in the audience of a counted stream that `is_silent`.
local function changed_silently(p)
  schedule_counts()
  return finish(p, 'changed')
end

-- Ends a script that has changed something.
local function changed(p, effect)
  flip()
  settle_counts()
  return finish(p, effect or 'changed')
end

local function rejected(reason, detail) return { 'rejected', reason, detail } end
local function invalid_transition(to) return rejected('transition', to .. ' ' .. stream.status) end
