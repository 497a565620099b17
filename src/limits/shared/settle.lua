-- Writes what requests of a key have used. A batch that has been written already changes nothing.
-- KEYS: buckets, leases, usage (to be completed by a day or a month), the last batch of the replica, holds
-- ARGV: name of the replica, number of the batch, sizes of the three buckets (each may be empty), what to take from
--       them, by how much it holds more, how much at most (in billionths of a dollar), for how many seconds, how many
--       leases have ended, their names; then for each day and model: day, model, requests, errors, tokens of input, cache
--       reads, cache writes and output, billionths of a dollar
if tonumber(redis.call('GET', KEYS[4]) or 0) >= tonumber(ARGV[2]) then return 0 end
-- A day after its last batch a replica is taken for dead.
redis.call('SET', KEYS[4], ARGV[2], 'EX', 86400)

local sizes = { tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]) }
local missing = missing_now(KEYS[1], sizes)
for place = 1, 3 do
    missing[place] = math.max(0, missing[place] + tonumber(ARGV[place + 5]))
end
keep(KEYS[1], sizes, missing)

-- No more than there can be, whatever became of calls whose answers were lost.
local held = held_by(KEYS[5], ARGV[1]) + tonumber(ARGV[9])
hold(KEYS[5], ARGV[1], math.min(held, tonumber(ARGV[10])), tonumber(ARGV[11]))

local place = 13 + tonumber(ARGV[12])
for lease = 13, place - 1 do
    redis.call('ZREM', KEYS[2], ARGV[lease])
end

local kinds = { 'requests', 'errors', 'input_tokens', 'cache_read_tokens', 'cache_write_tokens', 'output_tokens', 'cost' }
while ARGV[place] do
    local day, model = ARGV[place], ARGV[place + 1]
    -- In this order, whatever the date is: what the day cannot take is not counted in the month either.
    for _, period in ipairs({ { day, 3 * 86400 }, { string.sub(day, 1, 7), 40 * 86400 } }) do
        local key, seconds = KEYS[3] .. period[1], period[2]
        for kind = 1, 7 do
            redis.call('HINCRBY', key, kinds[kind] .. ':' .. model, ARGV[place + 1 + kind])
        end
        redis.call('HINCRBY', key, 'spent', ARGV[place + 8])
        redis.call('EXPIRE', key, seconds)
    end
    place = place + 9
end
return 1
