-- Ingresses: the hash `ingresses` by LiveKit's id, and the hash `ingress_plans` of intents by job.

-- Changes the number of ingresses, which is absent for none.
local function count_ingress(change)
  local count = (tonumber(stream.ingresses) or 0) + change
  stream.ingresses = count > 0 and integer(count) or ''
end

-- The entries of a hash, whose values are JSON.
local function decoded(key)
  local all, entries = redis.call('HGETALL', key), {}
  for i = 2, #all, 2 do entries[#entries + 1] = cjson.decode(all[i]) end
  return entries
end

local function has_most_ingresses()
  return redis.call('HLEN', KEY.ingresses) + redis.call('HLEN', KEY.ingress_plans) >= CONST.max_ingresses
end

-- Copies LiveKit's description of an ingress, an object of texts, into its record. Returns whether anything changes.
local function describe_ingress(record, reported)
  local differs = false
  for _, field in ipairs(CONST.ingress_fields) do
    differs = differs or record[field] ~= reported[field]
    record[field] = reported[field]
  end
  return differs
end

-- Writes the record of an ingress and emits its event. The first write uses memory, see outcome.lua.
local function put_ingress(record, by)
  record.changedAt = now_text
  local json = cjson.encode(record)
  if redis.call('HSET', KEY.ingresses, record.ingressId, json) == 1 then
    touch(KEY.ingresses)
    count_ingress(1)
  end
  emit('ingress_updated', nil, nil, nil, nil, by, nil, json)
end

-- Removes the record of an ingress and emits its last event. The first write must not use memory, see outcome.lua.
local function end_ingress(record, by)
  redis.call('HDEL', KEY.ingresses, record.ingressId)
  add_tombstone(record.ingressId)
  count_ingress(-1)
  record.deleted, record.changedAt = true, now_text
  emit('ingress_updated', nil, nil, nil, nil, by, nil, cjson.encode(record))
end

-- Ends all ingresses, because the stream ends. At most CONST.max_ingresses are recorded.
local function end_ingresses()
  if (stream.ingresses or '') ~= '' then
    local records = decoded(KEY.ingresses)
    table.sort(records, function(a, b) return a.ingressId < b.ingressId end)
    for _, record in ipairs(records) do end_ingress(record) end
  end
  redis.call('UNLINK', KEY.ingresses, KEY.ingress_plans)
end
