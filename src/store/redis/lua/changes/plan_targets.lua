-- Records the intent to add targets to a broadcast and to remove some. `add` is JSON of their addresses, masked
-- addresses and fingerprints, `remove` of ids.
local record = egress_of(ARG.egress_id)
if not record or record.kind ~= 'broadcast' then return rejected('broadcast', '') end
if record.status ~= 'starting' and record.status ~= 'active' then return rejected('broadcast_ended', '') end
local addresses, shown, removes = addresses_of(record.egressId), shown_egress(record), false

local function target_with(field, value)
  local targets = record.targets or {}
  for i = #targets, 1, -1 do
    if (field == 'id' and targets[i].id or addresses[targets[i].id]) == value then return targets[i] end
  end
end

for _, id in ipairs(cjson.decode(ARG.remove)) do
  local target = target_with('id', id)
  if not target then return rejected('target', '') end
  if is_running_target(target) then target.removing, removes = true, true end
end
for _, requested in ipairs(cjson.decode(ARG.add)) do
  local target = target_with('address', requested.address)
  if not target then
    request_target(record, addresses, requested, ARG.job)
  elseif not is_running_target(target) then
    target.status, target.error, target.removing = 'starting', nil, nil
    target.requestedBy, target.plannedAt = ARG.job, now_text
  end
end

local running, has_output = 0, record.hasPlaylist
for _, target in ipairs(record.targets or {}) do
  if is_running_target(target) then running, has_output = running + 1, has_output or not target.removing end
end
if running > CONST.max_targets then return rejected('too_many_targets', '') end
if removes and not has_output then return rejected('last_target', '') end
put_addresses(record, addresses)
if shown_egress(record) == shown then
  store_egress(record)
  return unchanged()
end
record.changedAt = now_text
put_egress(record, true, ARG.by ~= '' and ARG.by or nil)
return changed()
