-- Records that an egress has failed for a reason that LiveKit has not reported, as EgressFailure::applies_to. A
-- recorder must be missing for some time.
local record, before, cause = egress_of(ARG.egress_id), tonumber(ARG.before), ARG.cause
if not record then return unchanged() end
local status, since, missing = record.status, tonumber(record.statusSince), tonumber(record.recorderMissingSince)
local applies = cause == 'not_started' and status == 'starting' and since < before
  or cause == 'not_ended' and status == 'ending' and since < before
  or cause == 'lost' and not is_over(status) and tonumber(record.changedAt) < before
  or cause == 'recorder_gone' and status == 'active' and missing ~= nil and missing < before
if applies then
  record.error, record.endedAt, record.phase, record.report = ARG.error, now_text, '3', '0'
  turn_egress(record, 'failed')
  put_egress(record, true)
  return changed_egress()
end
if cause == 'recorder_gone' and status == 'active' and not missing then
  record.recorderMissingSince = now_text
  store_egress(record)
end
return unchanged()
