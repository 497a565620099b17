-- Redis' own time, so that replicas need not agree on theirs.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

local function text(number)
    return string.format('%.17g', number)
end

local names = { 'requests', 'input_tokens', 'output_tokens' }

-- What is missing in the three buckets now: requests, input tokens, output tokens. A bucket without a size has no limit.
-- Each has a time of its own: replicas that reload one after the other ask by different sizes for a while, or for other
-- buckets, and what was used stays used all the same.
local function missing_now(key, sizes)
    local kept = redis.call('HMGET', key,
        'requests', 'requests_at', 'input_tokens', 'input_tokens_at', 'output_tokens', 'output_tokens_at')
    local missing = {}
    for place = 1, 3 do
        local size = sizes[place]
        local before = tonumber(kept[2 * place - 1] or nil) or 0
        local passed = now - (tonumber(kept[2 * place] or nil) or now)
        if passed < 0 then
            -- The clock was set back, or another Redis has taken over: a bucket refills from now on, whoever is refused.
            redis.call('HSET', key, names[place] .. '_at', text(now))
            passed = 0
        end
        missing[place] = size and math.max(0, before - passed * size / 60) or 0
    end
    return missing
end

-- A bucket without a size is left as it is: it refills by the size of whoever asks for it next. Full buckets are as good
-- as none, and after a day all but the most overdrawn are.
local function keep(key, sizes, missing)
    for place = 1, 3 do
        if sizes[place] then
            redis.call('HSET', key, names[place], text(missing[place]), names[place] .. '_at', text(now))
            redis.call('EXPIRE', key, 86400)
        end
    end
end
