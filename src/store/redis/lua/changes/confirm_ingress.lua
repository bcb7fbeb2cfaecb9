-- Records an ingress that LiveKit has created for an intent.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local reported = cjson.decode(ARG.ingress)
if is_blocked(reported.identity) then return rejected('blocked', '') end
if redis.call('HGET', KEY.ingresses, reported.ingressId) then return unchanged() end
if not redis.call('HGET', KEY.ingress_plans, ARG.job) then return rejected('ingress_plan', '') end
local record = { createdAt = now_text, job = ARG.job }
describe_ingress(record, reported)
put_ingress(record, ARG.by ~= '' and ARG.by or nil)
redis.call('HDEL', KEY.ingress_plans, ARG.job)
return changed()
