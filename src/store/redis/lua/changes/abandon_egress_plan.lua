-- Records that a request has failed for which LiveKit may still start an egress.
local json = redis.call('HGET', KEY.egress_plans, ARG.job)
local plan = json and cjson.decode(json)
if not plan or plan.abandoned then return unchanged() end
plan.abandoned = true
redis.call('HSET', KEY.egress_plans, ARG.job, cjson.encode(plan))
return changed()
