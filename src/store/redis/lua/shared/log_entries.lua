-- The parts of a log's entry: {cursor, {'previous', cursor, 'total', bytes, 'event', JSON}}. The total counts the bytes
-- of all events up to this one that were ever appended to the log.
local function cursor_of(entry) return entry[1] end
local function previous_of(entry) return entry[2][2] end
local function total_of(entry) return tonumber(entry[2][4]) end
local function event_of(entry) return entry[2][6] end

-- The number of entries that one command reads, so that a page of large events is never in memory as a whole before it
-- is cut.
local LOG_BATCH = 8
