-- Tells the counts of a counted stream if they are not those of its newest event and that is old enough.
local is_untold = is_counted() and stream.status == 'active' and stream.currentViewers ~= stream.viewers
local due = stream.updatedAt + ARG.count_interval_ms
if is_untold and due > now then
  redis.call('ZADD', KEY.scheduled_counts, integer(due), stream.id)
  return unchanged()
end
redis.call('ZREM', KEY.scheduled_counts, stream.id)
if not is_untold then return unchanged() end
-- The end of a change tells counts that are due.
return changed()
