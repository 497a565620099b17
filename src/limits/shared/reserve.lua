-- Lets a request of a key in, or says which limit it would break; nothing is taken then.
-- KEYS: buckets, leases, usage (to be completed by a day or a month), holds
-- ARGV: input tokens, sizes of the three buckets, requests at once, budgets of day and month in billionths of a dollar
--       (each may be empty), name of the lease, its seconds, name of the replica, billionths that the request is expected
--       to cost, names of leases that have ended
-- Returns: the limit's number or 0, seconds to wait, the time, what is missing in the buckets, what is spent

-- The UTC day of a number of seconds since 1970: Howard Hinnant's civil_from_days.
local function day_of(seconds)
    local shifted = math.floor(seconds / 86400) + 719468
    local era = math.floor(shifted / 146097)
    local of_era = shifted - era * 146097
    local year = math.floor(
        (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
    local month = math.floor((5 * of_year + 2) / 153)
    local day = of_year - math.floor((153 * month + 2) / 5) + 1
    month = month < 10 and month + 3 or month - 9
    year = year + era * 400 + (month <= 2 and 1 or 0)
    return string.format('%04d-%02d-%02d', year, month, day)
end

local input_tokens = tonumber(ARGV[1])
local sizes = { tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]) }
local at_once, day_budget, month_budget = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local lease, seconds = ARGV[8], tonumber(ARGV[9])
local replica, expected = ARGV[10], tonumber(ARGV[11])

local missing = missing_now(KEYS[1], sizes)
local day = day_of(now)
local today = tonumber(redis.call('HGET', KEYS[3] .. day, 'spent') or 0)
local this_month = tonumber(redis.call('HGET', KEYS[3] .. string.sub(day, 1, 7), 'spent') or 0)

local function answer(limit, wait)
    return { limit, text(wait), text(now), text(missing[1]), text(missing[2]), text(missing[3]),
        text(today), text(this_month) }
end

for place = 12, #ARGV do
    redis.call('ZREM', KEYS[2], ARGV[place])
end
if day_budget and today >= day_budget then return answer(1, 0) end
if month_budget and this_month >= month_budget then return answer(2, 0) end
local held = (day_budget or month_budget) and held_by_all(KEYS[4]) or 0
if day_budget and today + held >= day_budget then return answer(7, 0) end
if month_budget and this_month + held >= month_budget then return answer(8, 0) end
if at_once then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', text(now))
    if redis.call('ZCARD', KEYS[2]) >= at_once then return answer(3, 0) end
end
-- Output is paid afterwards: one, so that what was overdrawn must have been made good.
local amounts = { 1, input_tokens, 1 }
-- Of several the one that takes longest, so that whoever waits for it is let in.
local refusal, longest = 0, 0
for place = 1, 3 do
    local size = sizes[place]
    if size then
        -- Whoever wants more than a minute's worth waits until the bucket is full.
        local wait = (math.min(amounts[place], size) - (size - missing[place])) * 60 / size
        if wait > longest then refusal, longest = place + 3, wait end
    end
end
if refusal > 0 then return answer(refusal, longest) end

missing[1], missing[2] = missing[1] + 1, missing[2] + input_tokens
keep(KEYS[1], sizes, missing)
if at_once then
    redis.call('ZADD', KEYS[2], text(now + seconds), lease)
    redis.call('EXPIRE', KEYS[2], 2 * seconds)
end
if day_budget or month_budget then
    hold(KEYS[4], replica, held_by(KEYS[4], replica) + expected, seconds)
end
return answer(0, 0)
