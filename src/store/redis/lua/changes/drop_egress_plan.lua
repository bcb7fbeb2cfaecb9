-- Withdraws the intent to start an egress, unless it was renewed since `before`.
local json, before = redis.call('HGET', KEY.egress_plans, ARG.job), tonumber(ARG.before)
if not json then return unchanged() end
if before and tonumber(cjson.decode(json).plannedAt) >= before then return unchanged() end
redis.call('HDEL', KEY.egress_plans, ARG.job)
return changed()
