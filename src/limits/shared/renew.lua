-- The leases and holds of requests that are still open last longer, and are there again if they were lost.
-- KEYS: leases, holds
-- ARGV: seconds, name of the replica, billionths of a dollar that it holds, whether that is new (1 or 0), names of the
--       leases
local seconds, replica, held = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
for place = 5, #ARGV do
    redis.call('ZADD', KEYS[1], text(now + seconds), ARGV[place])
end
redis.call('EXPIRE', KEYS[1], 2 * seconds)

-- What it holds includes requests that have just asked, and may be refused.
local own = held_by(KEYS[2], replica)
if ARGV[4] == '0' and own > 0 then held = math.min(own, held) end
hold(KEYS[2], replica, held, seconds)
