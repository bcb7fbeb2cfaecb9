-- What every script of a change shares. It is put in front of each of them when the crate is built.
--
-- KEYS  1 stream         hash    the stream's fields; '' stands for none
--       2 participants   hash    identity -> JSON
--       3 active         set     identities connected now
--       4 joining        zset    identities with an unused token, by the time it stops counting
--       5 order          zset    list keys of all participants, the unlisted ones last, all with score 0: a list in
--                                lexical order
--       6 gone           zset    LiveKit participant sids that have ended, by when
--       7 log            stream  the stream's events; its name is also the channel
--       8 room           string  'live:<id>' or 'over:<id>' of the stream that holds or last held the room name
--       9 events         stream  events of all streams; its name is also the channel
--      10 tail           string  the newest cursor
--      11 all            zset    list keys of all streams, score 0
--      12 live           zset    list keys of the streams that are not stopped
--      13 creating  14 active  15 stopping  16 stopped  17 error   zset   list keys by status
--      18 over           zset    list keys of the streams that are over, by when
--      19 total          string  how many participants are active in all streams
--      20 due            zset    by when: 'j:<id>' an entry expires, 'i:<id>' the stream has been idle for too long,
--                                's:<id>' whoever creates or stops it has had its time
--      21 once           string  exists when the change was made before, and says to which stream; the stream's own key where that is not asked
--      22 lease          string  the token of who reconciles
--      23 closed         zset    names of rooms that are over, by when the last join token for them has lapsed
--      24 hold           string  exists while a room of this name that nobody wants is being deleted
--      25 unlisted       hash    identity -> JSON of connected participants that have no events: recorders, hidden ones
--      26 agents         set     identities of connected agents: they are listed and do not count
--
-- ARGV  1 the stream's id
--       2 the version that the stream must be at, or ''
--       3 seconds for which to remember KEYS[21], or '' for not at all
--       4 milliseconds that keys of a live stream live
--       5 milliseconds that keys of a stream that is over live
--       6 the token that KEYS[22] must hold, or ''
--       7 milliseconds for which a join token may be good after it was made
--       8 a random number of the call's own
--       9 and on: the script's own, read with arg(1), arg(2) ...
--
-- Answer {effect, stream, participant}: effect is 'changed', 'unchanged', 'partial' or 'duplicate'; the others are JSON,
--        participant '' for none. Or {'missing'}, {'fenced'}, or {'rejected', why, detail}.

local K = {
  stream = KEYS[1], participants = KEYS[2], active = KEYS[3], joining = KEYS[4], order = KEYS[5], gone = KEYS[6],
  log = KEYS[7], room = KEYS[8], events = KEYS[9], tail = KEYS[10], all = KEYS[11], live = KEYS[12],
  status = { creating = KEYS[13], active = KEYS[14], stopping = KEYS[15], stopped = KEYS[16], error = KEYS[17] },
  over = KEYS[18], total = KEYS[19], due = KEYS[20], once = KEYS[21],
  lease = KEYS[22], closed = KEYS[23], hold = KEYS[24],
  unlisted = KEYS[25], agents = KEYS[26],
}
-- Redis that is full (maxmemory) refuses a script at its first write, if that takes room, and lets it finish otherwise. So
-- what adds something begins with a write that takes room, and is refused as a whole; what ends something begins with one
-- that does not.
local STREAM_LOG, ALL_LOG, BATCH, GONE_MS = 1000, 10000, 100, 3600000
local CLAIM_MS, RETRY_MS, SKEW_MS = 10000, 5000, 60000

-- Redis undoes nothing of a script that comes to a command which its user may not run. So a change that could not be made
-- as a whole is not begun.
for _, command in ipairs({
  'TIME', 'GET', 'SET', 'EXISTS', 'INCR', 'DECR', 'PEXPIRE', 'HGET', 'HGETALL', 'HSET', 'HDEL', 'SADD', 'SREM', 'SCARD',
  'SRANDMEMBER', 'ZADD', 'ZREM', 'ZSCORE', 'ZRANGE', 'ZRANGEBYSCORE', 'ZREMRANGEBYSCORE', 'ZREMRANGEBYLEX', 'HLEN', 'UNLINK', 'XADD', 'XREVRANGE',
}) do
  if not redis.acl_check_cmd(command, K.stream) then
    return redis.error_reply("NOPERM this user has no permissions to run the '" .. command .. "' command")
  end
end
if not (redis.acl_check_cmd('PUBLISH', K.log, '') and redis.acl_check_cmd('PUBLISH', K.events, '')) then
  return redis.error_reply('NOPERM this user has no permissions to publish on our channels')
end

local function arg(i) return ARGV[8 + i] end
local function integer(n) return string.format('%.0f', n) end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The stream's fields, all of them strings.
local s = {}
local function load()
  local flat = redis.call('HGETALL', K.stream)
  for i = 1, #flat, 2 do s[flat[i]] = flat[i + 1] end
  return #flat > 0
end

local function is_under_way() return s.status == 'creating' or s.status == 'stopping' end
-- Whether the operation lock still is the one that ended at `known` when its holder last heard of it. A renewal whose answer was
-- lost moved the end while the lock was held; another holder cannot have it before `known`, so its lock ends later.
local function holds_lock(known)
  local now_until = tonumber(s.claimedUntil)
  return is_under_way() and now_until and now_until >= tonumber(known) and now_until < known + CLAIM_MS
end
local function is_final() return s.status == 'stopped' or s.status == 'error' end

-- A cursor for an event of now that is greater than `cursor`. The number behind the time is random: an old master and a
-- new one may both make changes for a moment, and must not give out one cursor for two events.
local function next_cursor(cursor)
  local ms, n = cursor:match('^(%d+)-(%d+)$')
  if now > tonumber(ms) then return integer(now) .. '-' .. ARGV[8] end
  return ms .. '-' .. integer(n + 1 + ARGV[8] % 1048576)
end

local function newest_cursor()
  local tail = redis.call('GET', K.tail)
  if tail then return tail end
  local last = redis.call('XREVRANGE', K.events, '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0-0'
end

-- Numbers the event, puts it into both logs, publishes it.
local function emit(kind, participant, previous, reason)
  local newest = newest_cursor()
  local cursor, before = next_cursor(newest), s.cursor
  s.version, s.updatedAt, s.cursor = integer(s.version + 1), integer(now), cursor
  local record = cjson.encode({
    kind = kind, cursor = cursor, previous = before, previousOfAll = newest, timestamp = now,
    stream = s, participant = participant, previousStatus = previous, reason = reason,
  })
  redis.call('XADD', K.log, 'MAXLEN', '~', STREAM_LOG, cursor, 'previous', before, 'event', record)
  redis.call('XADD', K.events, 'MAXLEN', '~', ALL_LOG, cursor, 'previous', newest, 'event', record)
  redis.call('SET', K.tail, cursor)
  redis.call('PUBLISH', K.log, record)
  redis.call('PUBLISH', K.events, record)
end

local function read_entry(key, identity)
  local text = redis.call('HGET', key, identity)
  if text then return cjson.decode(text) end
end
local function participant(identity) return read_entry(K.participants, identity) end
local function unlisted(identity) return read_entry(K.unlisted, identity) end

-- As Participant::is_listed and Participant::counts.
local function is_listed(p) return p.kind ~= 'egress' and not p.hidden end
local function counts(p) return is_listed(p) and p.kind ~= 'agent' end

-- As Participant::list_key: hosts, other listed participants, unlisted ones; the newest first, then by identity.
local function list_key(p)
  local rank = not is_listed(p) and '2' or p.role == 'host' and '0' or '1'
  return rank .. ':' .. string.format('%016.0f', 9e15 - math.max(p.joinedAt, 0)) .. ':' .. p.identity
end

-- Writes a participant whose list key was `old` (nil for a new one).
local function put(p, old)
  local key = list_key(p)
  redis.call('ZADD', K.order, 0, key)
  if old and old ~= key then redis.call('ZREM', K.order, old) end
  p.changedAt = now
  redis.call('HSET', is_listed(p) and K.participants or K.unlisted, p.identity, cjson.encode(p))
end

local function count_others() s.others = integer(redis.call('SCARD', K.agents) + redis.call('HLEN', K.unlisted)) end

local function forget_unlisted(p)
  redis.call('HDEL', K.unlisted, p.identity)
  redis.call('ZREM', K.order, list_key(p))
  count_others()
end

-- A participant's sid or a track's.
local function remember_gone(sid)
  redis.call('ZREMRANGEBYSCORE', K.gone, '-inf', now - GONE_MS)
  redis.call('ZADD', K.gone, now, sid)
end

-- Ends the visit of somebody who is active or joining. 'participant_left' is said only of who really was connected.
local function end_visit(p, at)
  redis.call('ZREM', K.joining, p.identity)
  local was_active = p.state == 'active'
  p.state, p.leftAt = 'disconnected', math.max(at, p.joinedAt)
  p.expiresAt, p.lastJoinedAt, p.lastLeftAt, p.tracks = nil, nil, nil, nil
  put(p, list_key(p))
  if not was_active then return emit('participant_updated', p) end
  remember_gone(p.sid)
  if counts(p) then
    redis.call('SREM', K.active, p.identity)
    redis.call('DECR', K.total)
    s.count = integer(redis.call('SCARD', K.active))
    if s.count == '0' then s.emptySince = integer(now) end
  else
    redis.call('SREM', K.agents, p.identity)
    count_others()
  end
  emit('participant_left', p)
end

local function move_to(status, kind)
  local previous = s.status
  redis.call('ZREM', K.status[previous], s.listKey)
  redis.call('ZADD', K.status[status], 0, s.listKey)
  if status == 'stopped' then redis.call('ZREM', K.live, s.listKey) end
  s.status = status
  if is_final() then
    -- No join token was given out for a stream that never was active: a room of its name is another tool's.
    if s.roomSid ~= '' then redis.call('ZADD', K.closed, now + ARGV[7], s.roomName) end
    redis.call('ZADD', K.over, now, s.listKey)
    if redis.call('GET', K.room) == 'live:' .. s.id then redis.call('SET', K.room, 'over:' .. s.id) end
  end
  emit(kind, nil, previous, s.reason ~= '' and s.reason or nil)
end

local function schedule_at(member, at)
  if at then
    redis.call('ZADD', K.due, at, member .. s.id)
  else
    redis.call('ZREM', K.due, member .. s.id)
  end
end

local function schedule()
  schedule_at('j:', redis.call('ZRANGE', K.joining, 0, 0, 'WITHSCORES')[2])
  local idle = s.status == 'active' and s.emptySince ~= '' and s.idleAfter ~= ''
  schedule_at('i:', idle and integer(s.emptySince + s.idleAfter) or nil)
  local claimed_until = s.claimedUntil ~= '' and s.claimedUntil or integer(now + RETRY_MS)
  schedule_at('s:', is_under_way() and claimed_until or nil)
end

local function renew()
  local own = is_final() and ARGV[5] or ARGV[4]
  for i = 1, 7 do redis.call('PEXPIRE', KEYS[i], own) end
  if not is_final() or redis.call('GET', K.room) == 'over:' .. s.id then redis.call('PEXPIRE', K.room, own) end
  for i = 9, 20 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
  redis.call('PEXPIRE', K.closed, math.max(ARGV[4], ARGV[7]))
  redis.call('PEXPIRE', K.unlisted, own)
  redis.call('PEXPIRE', K.agents, own)
end

local function answer(effect, p)
  return { effect, cjson.encode(s), p and cjson.encode(p) or '' }
end

local function mark_once()
  if ARGV[3] ~= '' then redis.call('SET', K.once, s.id, 'EX', ARGV[3]) end
end

-- Ends a script that found nothing to do.
local function unchanged(p)
  mark_once()
  return answer('unchanged', p)
end

-- Ends a script that has changed something: what was changed in `s` is written here and only here.
local function changed(p, effect)
  local flat = {}
  for field, value in pairs(s) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', K.stream, unpack(flat))
  schedule()
  renew()
  mark_once()
  return answer(effect or 'changed', p)
end

local function rejected(why, detail) return { 'rejected', why, detail } end
local function no_such_move(to) return rejected('transition', to .. ' ' .. s.status) end
