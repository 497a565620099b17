
-- What the requests in flight of a key are expected to cost, in billionths of a dollar: each replica has a field with an
-- amount and the time until which it counts, so that the hold of one that died goes away by itself.
local function amount_in(field)
    local amount, till = string.match(field or '', '^(%S+) (%S+)$')
    return amount and tonumber(till) > now and tonumber(amount) or 0
end

local function held_by(key, replica)
    return amount_in(redis.call('HGET', key, replica))
end

local function held_by_all(key)
    local sum, kept = 0, redis.call('HGETALL', key)
    for place = 1, #kept, 2 do
        local amount = amount_in(kept[place + 1])
        if amount == 0 then redis.call('HDEL', key, kept[place]) end
        sum = sum + amount
    end
    return sum
end

local function hold(key, replica, amount, seconds)
    if amount > 0 then
        redis.call('HSET', key, replica, text(amount) .. ' ' .. text(now + seconds))
        redis.call('EXPIRE', key, 2 * seconds)
    else
        redis.call('HDEL', key, replica)
    end
end
