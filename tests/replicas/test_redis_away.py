"""Redis dies, hangs and comes back while requests go on."""

import json
import re
import time

from servers import Client, Crowd, eventually, in_time

# Limits of every kind, none of which is reached.
AMPLE = (
    "requests_per_minute = 1000000, input_tokens_per_minute = 100000000, "
    "concurrent_requests = 1000, usd_per_day = 1e6"
)


def test_allowed_requests_go_on_and_nothing_is_forgotten(replica, redis):
    pair = [replica({"team": AMPLE}), replica({"team": AMPLE})]
    crowd = Crowd("team", 4, *pair)
    eventually("requests before", lambda: crowd.count(200) > 50)
    for _ in range(2):
        redis.kill()
        eventually("all know", lambda: not any(each.is_up() for each in pair))
        before = crowd.count(200)
        eventually("requests without Redis", lambda: crowd.count(200) > before + 50)
        redis.start()
        eventually("all know", lambda: all(each.is_up() for each in pair))
        before = crowd.count(200)
        eventually("requests with it again", lambda: crowd.count(200) > before + 50)
    crowd.stop()

    assert not crowd.others(200), "no request is lost, and none is refused"
    for each in pair:
        eventually("all usage", lambda: each.usage("team")["requests"] == crowd.count(200))
        log = each.log.read_text()
        changes = re.findall("Redis (is away|answers)", log)
        assert changes == ["answers"] + ["is away", "answers"] * (len(changes) // 2), "one line for each change"
        # More where a machine was so busy that Redis seemed away.
        assert 5 <= len(changes) < 50, log


def test_a_limit_that_is_reached_lets_in_what_it_should_through_a_loss(replica, redis):
    """As many as it names, and those that came back: no 429 is wrong, and not many answers are."""
    per_minute = 600
    pair = [replica({"near": f"requests_per_minute = {per_minute}"}) for _ in range(2)]
    crowd = Crowd("near", 4, *pair)
    eventually("the limit", lambda: crowd.count(429) > 20)
    redis.kill()
    eventually("all know", lambda: not any(each.is_up() for each in pair))
    killed, before = time.monotonic(), crowd.count(429)
    eventually("the limit without Redis", lambda: crowd.count(429) > before + 100 and time.monotonic() > killed + 2)
    redis.start()
    eventually("all know", lambda: all(each.is_up() for each in pair))
    away, before = time.monotonic() - killed, crowd.count(429)
    eventually("the limit with it again", lambda: crowd.count(429) > before + 100)
    seconds = crowd.stop()

    assert not crowd.others(200, 429)
    back = per_minute / 60 * seconds
    # While Redis is away, each replica refills by itself, and what it let in has come back when Redis hears of it: as
    # much again for each. And whatever was under way when it died, which each side may have counted.
    again = len(pair) * per_minute / 60 * away + len(crowd.threads)
    print(f"{crowd.count(200)} of {len(crowd.answers)} in {seconds:.1f} s, {away:.1f} s of them without Redis")
    assert per_minute + 0.9 * back - 5 <= crowd.count(200) <= per_minute + back + again


def test_a_redis_that_hangs_delays_nobody_for_long(replica, redis):
    gateway = replica({"team": AMPLE})
    client = Client("team", gateway)

    def median(number):
        times = []
        for _ in range(number):
            begun = time.monotonic()
            assert client.ask()[0] == 200
            times.append(time.monotonic() - begun)
        return sorted(times)[number // 2], max(times)

    usual, _ = median(50)
    redis.freeze()
    _, longest = median(5)
    assert longest < usual + 0.25, "one deadline of milliseconds, and the noise of a busy machine"
    eventually("the gateway knows", lambda: not gateway.is_up())
    meanwhile, _ = median(50)
    assert meanwhile < usual + 0.009, f"nobody waits for a Redis that is known to be away: {usual} s, {meanwhile} s"
    redis.thaw()
    eventually("it is back", gateway.is_up)
    eventually("all usage", lambda: gateway.usage("team")["requests"] == 105)


def test_usage_does_not_wait_for_a_redis_that_hangs(replica, redis):
    gateway = replica({"team": AMPLE})
    assert Client("team", gateway).ask()[0] == 200
    eventually("the usage", lambda: gateway.usage("team")["requests"] == 1)
    redis.freeze()
    begun = time.monotonic()
    usage = gateway.usage("team")
    assert time.monotonic() - begun < 0.5, "a deadline of 100 ms, and the noise of a busy machine"
    assert (usage["requests"], usage["shared"]) == (1, False)
    redis.thaw()


def test_a_bucket_refills_after_the_clock_of_redis_was_set_back(replica, redis):
    """As far as it can be seen from outside: what is kept is of a time that is still to come."""
    gateway = replica({"back": "requests_per_minute = 60"})
    client = Client("back", gateway)
    assert client.ask()[0] == 200
    later = time.time() + 3600
    redis.ask(f"HSET gatewayz:{{back}}:buckets requests 60 requests_at {later}")
    assert in_time([gateway], lambda _: client.ask()[0]) == 429
    assert float(redis.ask("HGET gatewayz:{back}:buckets requests_at")) < later - 3000
    eventually("one that came back", lambda: client.ask()[0] == 200, 5)


def test_what_redis_refused_too_late_counts_all_the_same(replica, redis, wire):
    """One replica is left to its own limits, which are full; then Redis says no."""
    keys = {"rate": "requests_per_minute = 3", "held": "concurrent_requests = 1"}
    near, far = replica(keys), replica(keys, url=wire.url)
    rate = Client("rate", near)
    assert [rate.ask()[0] for _ in range(4)] == [200, 200, 200, 429]
    holder, late = Client("held", near), Client("held", far)
    held = holder.open(model="simulate-hang-after-3", stream=True)
    assert held.status == 200
    wire.delay = 0.1

    assert Client("rate", far).ask()[0] == 200
    # One in 20 seconds comes back.
    missing = lambda: float(redis.ask("HGET gatewayz:{rate}:buckets requests"))  # noqa: E731
    eventually("the fourth request", lambda: missing() > 3.1, 5)
    answer = late.open(model="simulate-hang-after-3", stream=True)
    assert answer.status == 200
    places = lambda: redis.ask("ZCARD gatewayz:{held}:leases")  # noqa: E731
    eventually("its place", lambda: places() == ":2", 5)
    late.close()
    answer.close()
    eventually("its place is free", lambda: places() == ":1", 5)
    holder.close()
    held.close()
    eventually("no place is taken", lambda: places() == ":0", 5)
    assert far.is_up() and far.failures() >= 2, "it was late twice, and not yet away"


def test_what_redis_cannot_take_is_given_up_and_said(replica, redis):
    """Somebody has written something else there, or a sum has no room for more: that is no Redis that is away."""
    keys = {"typed": AMPLE, "full": AMPLE, "other": AMPLE}
    gateway = replica(keys)
    clients = {key: Client(key, gateway) for key in keys}
    today = time.strftime("%Y-%m-%d", time.gmtime())
    redis.ask(f"SET gatewayz:{{typed}}:usage:{today} nonsense")
    redis.ask(f"HSET gatewayz:{{full}}:usage:{today} requests:simulate-well {2**63 - 1}")

    for client in clients.values():
        assert [client.ask()[0] for _ in range(3)] == [200] * 3
    log = eventually("both are given up", lambda: (log := gateway.log.read_text()).count("so it is lost") >= 2 and log)
    assert re.search("it says WRONGTYPE.*key typed, [123] requests, .* tokens, .* output tokens, 0.* USD", log), log
    assert re.search("it says ERR.*key full, [123] requests", log), log
    assert log.count("cannot tell how the key typed stands") == 1, log
    redis.ask(f"DEL gatewayz:{{typed}}:usage:{today}")
    redis.ask(f"DEL gatewayz:{{full}}:usage:{today}")
    eventually("what was given up is gone", lambda: gateway.usage("typed")["requests"] == 0)
    for client in clients.values():
        assert client.ask()[0] == 200
    eventually("what came later", lambda: [gateway.usage(key)["requests"] for key in keys] == [1, 1, 4])
    # It may seem away for lack of time, on a machine that is busy enough, but not for what it says.
    assert "Redis is away (it says" not in gateway.log.read_text()


def test_limits_hold_in_each_replica_while_redis_is_away_and_recover(replica, redis):
    gateway = replica({"few": "requests_per_minute = 30, concurrent_requests = 2"})
    client = Client("few", gateway)
    assert [client.ask()[0] for _ in range(10)] == [200] * 10
    redis.kill()
    eventually("the gateway knows", lambda: client.ask()[0] == 200 and not gateway.is_up())
    status = [client.ask()[0] for _ in range(30)]
    assert status.count(200) <= 22 and status[-1] == 429, "what was used before counts"
    redis.start()
    eventually("it is back", gateway.is_up)
    assert client.ask()[0] == 429, "what was used meanwhile counts too"
    eventually("the refilled bucket", lambda: client.ask()[0] == 200, 5)


def test_open_requests_have_what_they_held_again_after_a_loss(replica, redis):
    keys = {"place": "concurrent_requests = 1", "budget": "usd_per_day = 0.1"}
    pair = [replica(keys) for _ in range(2)]
    holders = [Client(key, pair[0]) for key in keys]
    for each in holders:
        assert each.open(model="simulate-hang-after-3", stream=True).status == 200
    redis.ask("FLUSHALL")
    redis.kill()
    eventually("all know, though nobody asks", lambda: not any(each.is_up() for each in pair))
    assert [Client(key, pair[0]).ask()[0] for key in keys] == [429, 429]
    redis.start()
    eventually("all know", lambda: all(each.is_up() for each in pair))
    assert in_time([pair[1]], lambda _: [Client(key, pair[1]).ask()[0] for key in keys]) == [429, 429]
    for each in holders:
        each.close()
    for key in keys:
        eventually("what was held is free", lambda: Client(key, pair[1]).ask()[0] == 200)
    eventually("nobody holds anything", lambda: redis.ask("EXISTS gatewayz:{budget}:holds") == ":0")


def test_denied_requests_are_told_to_come_back(replica, redis):
    gateway = replica({"team": AMPLE, "free": ""}, on_failure="deny")
    client = Client("team", gateway)
    assert in_time([gateway], lambda _: client.ask()[0]) == 200
    redis.kill()

    for _ in range(5):
        status, headers, body = client.ask()
        assert status == 529 and json.loads(body)["error"]["type"] == "overloaded_error"
        assert (headers["retry-after"], headers["x-should-retry"]) == ("1", "true")
        assert str(redis.port) not in body.decode()
    assert Client("free", gateway).ask()[0] == 200, "a key without limits has nothing to be asked"
    redis.start()
    eventually("it is back", gateway.is_up)
    assert in_time([gateway], lambda _: client.ask()[0]) == 200


def test_it_starts_without_redis(replica, redis):
    redis.kill()
    gateway = replica({"team": "requests_per_minute = 2"})
    client = Client("team", gateway)
    assert not gateway.is_up()
    assert [client.ask()[0] for _ in range(3)] == [200, 200, 429]
    usage = gateway.usage("team")
    assert (usage["requests"], usage["shared"]) == (2, False)
    redis.start()
    eventually("it is there", gateway.is_up)
    assert gateway.usage("team")["shared"]
    assert client.ask()[0] == 429
