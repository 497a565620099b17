"""What a key may use holds over two replicas together."""

import time

from servers import Client, Crowd, eventually, in_time

# Some hundred tokens.
LONG = [{"role": "user", "content": "repeat: " + "many words " * 250}]


def test_a_rate_is_shared(replica):
    keys = {"rate": "requests_per_minute = 60"}
    pair = [replica(keys), replica(keys)]
    crowd = Crowd("rate", 6, *pair)
    time.sleep(6)
    seconds = crowd.stop()

    assert not crowd.others(200, 429)
    # Whoever is not answered by Redis in time, on a machine too busy for milliseconds, is let in or refused by what one
    # replica knows. One too many is counted afterwards and made good by those that come later: what may be missing from
    # the sum is the last one of each replica.
    late = sum(each.failures() for each in pair)
    print(f"{crowd.count(200)} of {len(crowd.answers)} in {seconds:.1f} s, {late} answers of Redis were late")
    assert 60 <= crowd.count(200) <= 60 + seconds + min(late, len(pair))
    assert crowd.count(429) > 60, "it was asked for more than that"


def test_replicas_with_other_limits_leave_what_is_used_as_it_is(replica):
    """As during a deploy or a reload, when each replica has read another file."""
    by_requests = replica({"mixed": "requests_per_minute = 3"})
    by_tokens = replica({"mixed": "input_tokens_per_minute = 6000"})
    first, second = Client("mixed", by_requests), Client("mixed", by_tokens)
    # One in 20 seconds comes back: at most one during the test.
    assert in_time([by_requests], lambda _: [first.ask()[0] for _ in range(5)])[-1] == 429
    tokens = "anthropic-ratelimit-input-tokens-remaining"
    used = 6000 - in_time([by_tokens], lambda _: int(second.ask(messages=LONG)[1][tokens]))
    assert first.ask()[0] == 429, "forgotten by whoever does not count requests"
    first.ask()
    assert 6000 - int(second.ask(messages=LONG)[1][tokens]) > used, "forgotten by whoever does not count tokens"


def test_what_is_left_is_told_by_every_replica(replica):
    keys = {f"told-{number}": "requests_per_minute = 10, input_tokens_per_minute = 100000" for number in range(10)}
    pair = [replica(keys), replica(keys)]

    def ask(number):
        client = Client(f"told-{number}", *pair)
        return client, [client.ask()[1] for _ in range(4)]

    client, answers = in_time(pair, ask)
    assert [answer["anthropic-ratelimit-requests-limit"] for answer in answers] == ["10"] * 4
    left = [int(answer["anthropic-ratelimit-requests-remaining"]) for answer in answers]
    assert left == [9, 8, 7, 6]
    tokens = [int(answer["anthropic-ratelimit-input-tokens-remaining"]) for answer in answers]
    assert all(99_000 < each <= 100_000 for each in tokens)
    while (refused := client.ask())[0] == 200:
        pass
    assert refused[0] == 429 and b"rate_limit_error" in refused[2]
    assert 1 <= int(refused[1]["retry-after"]) <= 6
    time.sleep(int(refused[1]["retry-after"]))
    assert client.ask()[0] == 200, "after retry-after it passes, wherever"


def test_of_several_limits_the_one_that_takes_longest_is_told(replica):
    limits = "requests_per_minute = 1, input_tokens_per_minute = 10"
    gateway = replica({f"both-{number}": limits for number in range(10)})

    def ask(number):
        client = Client(f"both-{number}", gateway)
        return [client.ask(messages=LONG) for _ in range(2)]

    first, second = in_time([gateway], ask)
    assert (first[0], second[0]) == (200, 429)
    assert int(second[1]["retry-after"]) > 600 and b"10 input tokens per minute" in second[2]


def test_a_budget_is_shared_and_so_is_what_is_known_of_it(replica):
    # What a request costs is asserted below: a budget is worth ten and a half of them.
    price = 0.04
    keys = {f"poor-{number}": f"usd_per_day = {10.5 * price}" for number in range(10)} | {"rich": ""}
    pair = [replica(keys), replica(keys)]
    assert Client("rich", *pair).ask()[0] == 200
    eventually("the usage", lambda: abs(pair[1].usage("rich")["cost_usd"] - price) < 1e-6)

    def spend(number):
        crowd = Crowd(f"poor-{number}", 16, *pair)
        eventually("the end of the budget", lambda: crowd.count(402) > 20)
        crowd.stop()
        return f"poor-{number}", crowd

    # Where Redis is late, a replica knows only what it has in flight itself.
    key, crowd = in_time(pair, spend)
    assert not crowd.others(200, 402, 429)
    assert all(b"held by requests in flight" in body for _, status, body in crowd.answers if status == 429)
    assert crowd.count(200) == 11, "none of the four workers has let in one too many"
    for each in pair:
        status, headers, body = Client(key, each).ask()
        assert (status, "retry-after" in headers) == (402, False) and b"billing_error" in body
        usage = each.usage(key)
        assert (usage["requests"], usage["shared"], usage["errors"]) == (11, True, 0)
        assert abs(usage["cost_usd"] - 11 * price) < 1e-6


def test_requests_at_once_are_shared(replica):
    keys = {"few": "concurrent_requests = 3", "one": "concurrent_requests = 1"}
    pair = [replica(keys), replica(keys)]
    clients = [Client("few", pair[at % 2]) for at in range(3)]
    held = [client.open(model="simulate-hang-after-3", stream=True) for client in clients]
    assert [answer.status for answer in held] == [200] * 3
    for each in pair:
        status, _, body = in_time([each], lambda _: Client("few", each).ask())
        assert status == 429 and b"3 concurrent requests" in body
    clients[0].close()
    held[0].close()
    eventually("the place that was given back", lambda: Client("few", pair[1]).ask()[0] == 200)

    # One after the other, on one replica: what has ended never stands in the way.
    client = Client("one", pair[0])
    assert [client.ask()[0] for _ in range(100)] == [200] * 100
    for client, answer in list(zip(clients, held))[1:]:
        client.close()
        answer.close()


def test_what_was_used_is_written_before_the_end(replica, redis):
    keys = {"last": "requests_per_minute = 1000"}
    first, second = replica(keys), replica(keys)
    client = Client("last", first)
    assert [client.ask()[0] for _ in range(20)] == [200] * 20
    client.close()
    first.stop()

    assert second.usage("last")["requests"] == 20

    # What is remembered of a replica that has ended goes away by itself, however often others start and write.
    assert Client("last", second).ask()[0] == 200
    eventually("its batch", lambda: second.usage("last")["requests"] == 21)
    batches = "redis.call('KEYS', 'gatewayz:{last}:batch:*')"
    assert redis.ask(f'EVAL "return #{batches}" 0') == ":2"
    shortest = f"local s = 1e9 for _, k in ipairs({batches}) do s = math.min(s, redis.call('TTL', k)) end return s"
    assert 86_000 < int(redis.ask(f'EVAL "{shortest}" 0')[1:]) <= 86_400
    assert redis.ask("EXISTS gatewayz:{last}:batches") == ":0"


def test_a_replica_that_was_killed_gives_back_what_it_held(replica):
    keys = {"place": "concurrent_requests = 1", "budget": "usd_per_day = 0.1"}
    first, second = replica(keys), replica(keys)
    holders, survivors = [Client(key, first) for key in keys], [Client(key, second) for key in keys]

    def refused():
        answers = in_time([second], lambda _: [each.ask() for each in survivors])
        return [status for status, _, _ in answers] == [429, 429] and b"held by requests in flight" in answers[1][2]

    answers = [each.open(model="simulate-hang-after-3", stream=True) for each in holders]
    assert [each.status for each in answers] == [200, 200]
    assert refused()
    # For longer than a place is given at first: it is renewed.
    began = time.monotonic()
    while time.monotonic() - began < 35:
        assert refused()
        time.sleep(1)
    first.kill()
    assert refused(), "nobody knows yet"
    for each in survivors:
        eventually("what the dead one held", lambda: each.ask()[0] == 200, 40)
