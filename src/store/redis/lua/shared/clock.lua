-- Redis's clock, which stands still while a script runs.
local seconds_and_micros = redis.call('TIME')
local now_micros = seconds_and_micros[1] * 1000000 + seconds_and_micros[2]
-- Milliseconds since 1970.
local now = math.floor(now_micros / 1000)

-- Formats a whole number. Lua itself writes numbers from 1e14 on with an exponent. Commands get texts, because Redis
-- formats a number of Lua with all digits of a fraction, which takes longer than most commands.
local function integer(n) return string.format('%d', n) end
local now_text = integer(now)
