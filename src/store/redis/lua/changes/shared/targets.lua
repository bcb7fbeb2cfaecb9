-- RTMP targets of a broadcast, which its record has in `targets`; nil for none. As domain/rtmp_target.rs. The hash
-- `egress_addresses` has the whole addresses as JSON: target to address.

local function is_running_target(target) return target.status == 'starting' or target.status == 'active' end
local function is_waiting_target(target) return target.status == 'starting' and target.reports == '0' end

-- Records what LiveKit reports of a target. `entries` has the number of the entries, and the last one, of each
-- fingerprint.
local function report_target(target, entries)
  local found = entries[target.fingerprint]
  if not found then return end
  local known = tonumber(target.reports)
  if found.count > known or found.count == known and target.status ~= 'starting' then
    target.reports, target.status, target.error = integer(found.count), found.last.status, found.last.error
    if not is_running_target(target) then target.removing = nil end
  end
end

-- Adds a target, for which the oldest ended one makes room if necessary.
local function push_target(targets, target)
  if #targets >= CONST.max_kept_targets then
    local ended
    for i = #targets, 1, -1 do ended = not is_running_target(targets[i]) and i or ended end
    if not ended then return end
    table.remove(targets, ended)
  end
  targets[#targets + 1] = target
end

-- A new target of a record, whose id is the next number.
local function new_target(record, described)
  record.lastTarget = integer(record.lastTarget + 1)
  return {
    id = record.lastTarget, fingerprint = described.fingerprint, url = described.url, status = 'starting',
    reports = '0', plannedAt = now_text,
  }
end

-- Adds a target that the request of a job asks for, and its address.
local function request_target(record, addresses, requested, job)
  local targets, target = record.targets or {}, new_target(record, requested)
  target.requestedBy = job
  push_target(targets, target)
  record.targets, addresses[target.id] = targets, requested.address
end

-- The only target that waits for a report; nil if several do.
local function only_waiting(targets)
  local found
  for _, target in ipairs(targets) do
    if is_waiting_target(target) then
      if found then return nil end
      found = target
    end
  end
  return found
end

local function has_fingerprint(targets, fingerprint)
  for _, target in ipairs(targets) do
    if target.fingerprint == fingerprint then return true end
  end
  return false
end

-- Brings the targets of a record to a report.
local function merge_targets(record, reported)
  local targets, entries = record.targets or {}, {}
  for at, entry in ipairs(reported) do
    local known = entries[entry.fingerprint]
    entries[entry.fingerprint] = { count = known and known.count + 1 or 1, last = entry, at = at }
  end
  for _, target in ipairs(targets) do report_target(target, entries) end
  for at, entry in ipairs(reported) do
    local is_last = entries[entry.fingerprint].at == at
    if is_last and entry.status == 'active' and not has_fingerprint(targets, entry.fingerprint) then
      local target = only_waiting(targets)
      if target then
        target.fingerprint = entry.fingerprint
        report_target(target, entries)
      else
        target = new_target(record, entry)
        report_target(target, entries)
        push_target(targets, target)
      end
    end
  end
  record.targets = #targets > 0 and targets or nil
end

-- Ends all targets with their broadcast.
local function end_targets(record)
  for _, target in ipairs(record.targets or {}) do
    if is_running_target(target) then
      local is_lost = target.status == 'starting' and record.status == 'failed'
      target.status, target.removing = is_lost and 'failed' or 'finished', nil
    end
  end
end

-- The addresses of the targets of an egress.
local function addresses_of(id)
  local json = redis.call('HGET', KEY.egress_addresses, id)
  return json and cjson.decode(json) or {}
end

-- Writes the addresses of those targets that a record has.
local function put_addresses(record, addresses)
  local kept = {}
  for _, target in ipairs(record.targets or {}) do kept[target.id] = addresses[target.id] end
  if redis.call('HSET', KEY.egress_addresses, record.egressId, cjson.encode(kept)) == 1 then
    touch(KEY.egress_addresses)
  end
end
