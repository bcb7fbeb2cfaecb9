-- The log of ended visits, which a history reads. Its entries have the parts of those of events.

-- The newest cursor of the log, and its total of bytes; nil until a visit of this call ends.
local newest_visit, visit_bytes
local function read_newest_visit()
  local last = redis.call('XREVRANGE', KEY.visits, '+', '-', 'COUNT', 1)[1]
  if not last then touch(KEY.visits) end
  newest_visit, visit_bytes = last and cursor_of(last) or '0-0', last and total_of(last) or 0
end

-- Appends the visit of a participant that has left. A history removes what it has stored; the bounds of the log of all
-- streams hold for what it has not.
local function log_visit(p)
  if ARG.keeps_visits == '' then return end
  if not newest_visit then read_newest_visit() end
  local visit = cjson.encode({
    streamId = stream.id, identity = p.identity, sid = p.sid, name = p.name, role = p.role, kind = p.kind,
    joinedAt = p.joinedAt, leftAt = p.leftAt,
  })
  local previous, size = newest_visit, #visit
  newest_visit, visit_bytes = next_cursor(previous), visit_bytes + size
  redis.call('XADD', KEY.visits, newest_visit, 'previous', previous, 'total', integer(visit_bytes), 'event', visit)
  if visit_bytes % BLOCK < size then
    trim(KEY.visits, visit_bytes, CONST.all_log_events_factor, CONST.all_log_bytes_factor, { 0, 0 })
  end
end
