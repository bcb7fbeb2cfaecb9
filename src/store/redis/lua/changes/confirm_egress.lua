-- Records an egress that LiveKit has started for an intent.
if stream.status ~= 'active' then return rejected('not_active', stream.status) end
local reported = cjson.decode(ARG.egress)
if redis.call('HGET', KEY.egresses, reported.egressId) then return unchanged() end
if not redis.call('HGET', KEY.egress_plans, ARG.job) then return rejected('egress_plan', '') end
local record, forgotten = new_egress(reported, ARG.spec, ARG.job), egress_to_forget()
if record.kind == 'broadcast' then
  local addresses = {}
  for _, requested in ipairs(cjson.decode(ARG.targets)) do request_target(record, addresses, requested, ARG.job) end
  put_addresses(record, addresses)
end
update_egress(record, reported)
put_egress(record, false, ARG.by ~= '' and ARG.by or nil)
redis.call('HDEL', KEY.egress_plans, ARG.job)
if forgotten then redis.call('HDEL', KEY.egresses, forgotten) end
return changed()
