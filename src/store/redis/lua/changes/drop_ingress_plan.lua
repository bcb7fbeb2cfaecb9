-- Withdraws the intent to create an ingress, unless it was renewed since `before`.
local json, before = redis.call('HGET', KEY.ingress_plans, ARG.job), tonumber(ARG.before)
if not json then return unchanged() end
if before and tonumber(cjson.decode(json).plannedAt) >= before then return unchanged() end
redis.call('HDEL', KEY.ingress_plans, ARG.job)
return changed()
