-- Records the intent to start an egress, or renews it. Old intents are removed.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local job, is_known, pending, count, old = ARG.job, false, 0, 0, {}
-- The name of a field is not part of a value, in which quotation marks are escaped.
local of_job = '"job":"' .. job .. '"'
for i, json in ipairs(redis.call('HGETALL', KEY.egresses)) do
  if i % 2 == 0 and json:find(of_job, 1, true) then return unchanged() end
end
for _, plan in ipairs(decoded(KEY.egress_plans)) do
  if plan.job == job then
    is_known = true
  elseif now - plan.plannedAt > CONST.egress_plan_ttl_ms then
    old[#old + 1] = plan.job
  else
    pending, count = pending + (plan.abandoned and 0 or 1), count + 1
  end
end
if not is_known and (has_most_egresses(pending) or count >= CONST.max_egress_plans) then
  return rejected('too_many_egresses', '')
end
local plan = cjson.encode({ job = job, outputs = ARG.outputs, plannedAt = now_text })
if redis.call('HSET', KEY.egress_plans, job, plan) == 1 then touch(KEY.egress_plans) end
for _, other in ipairs(old) do redis.call('HDEL', KEY.egress_plans, other) end
if is_known then return unchanged() end
return changed()
