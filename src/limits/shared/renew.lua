-- The leases of requests that are still open last longer, and are there again if they were lost.
-- KEYS: leases
-- ARGV: seconds, names of the leases
for place = 2, #ARGV do
    redis.call('ZADD', KEYS[1], text(now + tonumber(ARGV[1])), ARGV[place])
end
redis.call('EXPIRE', KEYS[1], 2 * tonumber(ARGV[1]))
