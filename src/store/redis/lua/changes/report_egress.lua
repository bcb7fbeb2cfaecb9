-- Records what LiveKit reports of an egress. A later state replaces an earlier one. The list of LiveKit shows egresses
-- that other tools have started in the stream's room, with outputs that no request asks for.
local reported = cjson.decode(ARG.egress)
local record = egress_of(reported.egressId)
if not record then
  if ARG.is_listed == '' or stream.status ~= 'active' or is_over(reported.status) then return unchanged() end
  if reported.roomSid and reported.roomSid ~= stream.roomSid or has_most_egresses(0) then return unchanged() end
  for _, plan in ipairs(decoded(KEY.egress_plans)) do
    if plan.outputs == reported.outputs then return unchanged() end
  end
  local forgotten = egress_to_forget()
  record = new_egress(reported)
  update_egress(record, reported)
  put_egress(record, false)
  if forgotten then redis.call('HDEL', KEY.egresses, forgotten) end
  return changed()
end

local function is_later()
  local new = { reported.phase, reported.report, #(reported.targets or {}) }
  for i, known in ipairs({ record.phase, record.report, record.reportedTargets }) do
    local difference = tonumber(new[i]) - tonumber(known)
    if difference ~= 0 then return difference > 0 end
  end
  return false
end

if not is_later() then return unchanged() end
local was_running, shown = not is_over(record.status), shown_egress(record)
update_egress(record, reported)
if shown_egress(record) == shown then
  store_egress(record)
  return unchanged()
end
put_egress(record, was_running)
return changed_egress()
