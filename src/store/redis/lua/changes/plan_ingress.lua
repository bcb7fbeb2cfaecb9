-- Records the intent to create an ingress, or renews it. Intents of requests that have died are removed.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local job, identity = ARG.job, ARG.identity
if is_blocked(identity) then return rejected('blocked', '') end
local is_taken, is_known, count, abandoned = false, false, 0, {}
for _, record in ipairs(decoded(KEY.ingresses)) do
  if record.job == job then return unchanged() end
  is_taken, count = is_taken or record.identity == identity, count + 1
end
for _, plan in ipairs(decoded(KEY.ingress_plans)) do
  if plan.job == job then
    is_known = true
  elseif now - plan.plannedAt > CONST.ingress_plan_ttl_ms then
    abandoned[#abandoned + 1] = plan.job
  else
    is_taken, count = is_taken or plan.identity == identity, count + 1
  end
end
if is_taken then return rejected('ingress_exists', '') end
if not is_known and count >= CONST.max_ingresses then return rejected('too_many_ingresses', '') end
local plan = cjson.encode({ job = job, identity = identity, plannedAt = now_text })
if redis.call('HSET', KEY.ingress_plans, job, plan) == 1 then touch(KEY.ingress_plans) end
for _, other in ipairs(abandoned) do redis.call('HDEL', KEY.ingress_plans, other) end
if is_known then return unchanged() end
return changed()
