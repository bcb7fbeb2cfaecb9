-- Withdraws the intent to change targets of a broadcast, unless they were requested since `before`. `targets` is JSON
-- of their ids.
local record, before = egress_of(ARG.egress_id), tonumber(ARG.before)
if not record or is_over(record.status) then return unchanged() end
local shown, dropped, kept = shown_egress(record), {}, {}
for _, id in ipairs(cjson.decode(ARG.targets)) do dropped[id] = true end
for _, target in ipairs(record.targets or {}) do
  local is_due = dropped[target.id] and (not before or tonumber(target.plannedAt) < before)
  if not is_due or not is_waiting_target(target) then kept[#kept + 1] = target end
  if is_due then
    target.removing = nil
    if target.status == 'starting' then target.status = 'finished' end
  end
end
record.targets = #kept > 0 and kept or nil
local addresses = addresses_of(record.egressId)
if next(addresses) then put_addresses(record, addresses) end
if shown_egress(record) == shown then
  store_egress(record)
  return unchanged()
end
record.changedAt = now_text
put_egress(record, true)
return changed_egress()
