-- The log of ended visits, which a history reads. Its entries have the parts of those of events. It also has what
-- happens to recordings after the end of their stream.

-- The newest cursor of the log, and its total of bytes; nil until this call appends one.
local newest_visit, visit_bytes
local function read_newest_visit()
  local last = redis.call('XREVRANGE', KEY.visits, '+', '-', 'COUNT', 1)[1]
  if not last then touch(KEY.visits) end
  newest_visit, visit_bytes = last and cursor_of(last) or '0-0', last and total_of(last) or 0
end

-- Appends an entry. A history removes what it has stored; the bounds of the log of all streams hold for
-- what it has not.
local function log_for_history(json)
  if not newest_visit then read_newest_visit() end
  local previous, size = newest_visit, #json
  newest_visit, visit_bytes = next_cursor(previous), visit_bytes + size
  redis.call('XADD', KEY.visits, newest_visit, 'previous', previous, 'total', integer(visit_bytes), 'event', json)
  if visit_bytes % BLOCK < size then
    trim(KEY.visits, visit_bytes, CONST.all_log_events_factor, CONST.all_log_bytes_factor, { 0, 0 })
  end
end

-- Appends the visit of a participant that has left.
local function log_visit(p)
  if ARG.keeps_visits == '' then return end
  log_for_history(cjson.encode({
    streamId = stream.id, identity = p.identity, sid = p.sid, name = p.name, role = p.role, kind = p.kind,
    joinedAt = p.joinedAt, leftAt = p.leftAt,
  }))
end

-- Appends the record of a recording that has changed after the end of its stream, because no event has it.
local function log_recording(json)
  if ARG.keeps_visits == '' then return end
  log_for_history('{"streamId":"' .. stream.id .. '","recording":' .. json .. '}')
end
