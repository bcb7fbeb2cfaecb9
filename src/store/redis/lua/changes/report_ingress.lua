-- Records what LiveKit reports of an ingress. `before` is '' for a webhook. For the list of LiveKit it is a time: the
-- list corrects what was recorded before, and shows ingresses of other tools. `job` is that of an ingress of ours.
if stream.status ~= 'active' then return unchanged() end
local reported, before = cjson.decode(ARG.ingress), tonumber(ARG.before)
local json = redis.call('HGET', KEY.ingresses, reported.ingressId)
if not json then
  if not before or ARG.job ~= '' then return unchanged() end
  local ended = redis.call('ZSCORE', KEY.tombstones, reported.ingressId)
  if ended and tonumber(ended) >= before or has_most_ingresses() then return unchanged() end
  local record = { createdAt = now_text }
  describe_ingress(record, reported)
  put_ingress(record)
  if ended then redis.call('ZREM', KEY.tombstones, reported.ingressId) end
  return changed()
end

local record = cjson.decode(json)
local session, known_session = tonumber(reported.session), tonumber(record.session)
local is_later = session > known_session
  or session == known_session and tonumber(reported.report) > tonumber(record.report)
local is_corrected = before and tonumber(record.changedAt) < before
if not is_later and not is_corrected then return unchanged() end
if not describe_ingress(record, reported) then return unchanged() end
put_ingress(record)
return changed()
