-- The end of a change that is the only one of its call. Answer {effect, stream, participant}: effect is 'changed',
-- 'unchanged', 'partial' or 'duplicate', the others are JSON, with '' for no participant. Or {'not_found'},
-- {'lease_lost'}, or {'rejected', reason, detail}.

local function answer(effect, p)
  return { effect, stream_json(true), p and json_of(p) or '' }
end

-- Records that the webhook or request was applied, and to which stream.
local function record_dedup_key()
  if ARG.dedup_ttl_ms ~= '' then redis.call('SET', KEY.dedup, stream.id, 'PX', ARG.dedup_ttl_ms) end
end

local function finish(p, effect)
  write()
  record_dedup_key()
  return answer(effect, p)
end
