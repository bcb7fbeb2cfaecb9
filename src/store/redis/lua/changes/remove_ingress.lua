-- Records that an ingress is deleted in LiveKit, unless it has changed since `before`.
local json, before = redis.call('HGET', KEY.ingresses, ARG.ingress_id), tonumber(ARG.before)
if not json then return unchanged() end
local record = cjson.decode(json)
if before and tonumber(record.changedAt) >= before then return unchanged() end
end_ingress(record, ARG.by ~= '' and ARG.by or nil)
return changed()
