-- Redis' own time, so that replicas need not agree on theirs.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

-- What is missing in the three buckets now: requests, input tokens, output tokens. A bucket without a size has no limit.
-- What was used stays used when the size changes, so that replicas that reload one after the other do no harm.
local function missing_now(key, sizes)
    local kept = redis.call('HMGET', key, 'at', 'requests', 'input_tokens', 'output_tokens')
    local passed = math.max(0, now - (tonumber(kept[1] or nil) or now))
    local missing = {}
    for place = 1, 3 do
        local size = sizes[place]
        local before = tonumber(kept[place + 1] or nil) or 0
        missing[place] = size and math.max(0, before - passed * size / 60) or 0
    end
    return missing
end

local function text(number)
    return string.format('%.17g', number)
end

-- Full buckets are as good as none, and after a day all but the most overdrawn are.
local function keep(key, missing)
    redis.call('HSET', key, 'at', text(now),
        'requests', text(missing[1]), 'input_tokens', text(missing[2]), 'output_tokens', text(missing[3]))
    redis.call('EXPIRE', key, 86400)
end
