"""What the gateway says when it does not reach a real Redis is what the runbook says."""

import re

import pytest

from shipped import RUNBOOK_FILES
from stack import Client, Redis, Replica, Simulator, free_port, until

AWAY = re.compile(r"Redis is away \((.*)\)")
# Not tried: a Redis must be large to be loading for long enough.
NOT_TRIED = {"it says LOADING"}


def with_password(redis, password):
    return redis.url.replace(redis.password, password)


# How to come to it: the URL that the gateway gets, and what is done to Redis once it is up.
TROUBLE = {
    "authentication failed": (lambda redis: with_password(redis, "wrong"), None),
    "it says NOAUTH": (lambda redis: with_password(redis, "").replace(":@", ""), None),
    "connection refused": (lambda redis: f"redis://127.0.0.1:{free_port()}/0", None),
    "no answer in time": (lambda redis: redis.url, lambda redis: redis.freeze()),
    "I/O error": (lambda redis: redis.url, lambda redis: redis.kill()),
    "it says OOM": (lambda redis: redis.url, lambda redis: redis.ask("CONFIG SET maxmemory 1")),
    "it says READONLY": (lambda redis: redis.url, lambda redis: redis.ask("REPLICAOF 127.0.0.1 1")),
}


def test_the_runbook_knows_these_words():
    text = RUNBOOK_FILES["GatewayLimitsBackendDown"].read_text()
    assert set(re.findall(r"^\| `(.*?)`", text, re.M)) == set(TROUBLE) | NOT_TRIED


@pytest.mark.parametrize("words", TROUBLE)
def test_it_says_why_redis_is_away(binary, tmp_path, words):
    address, trouble = TROUBLE[words]
    with Redis(tmp_path) as redis, Simulator(binary, tmp_path) as simulator:
        keys = {"team": "requests_per_minute = 1000000"}
        with Replica(binary, tmp_path, simulator.url, address(redis), keys, "allow") as replica:
            if trouble:
                until("it reaches Redis", replica.is_up, 20, 0.05)
                trouble(redis)
            client = Client("team", replica)

            def told():
                # Whoever asks finds out, and has something to be written.
                assert client.ask()[0] == 200
                return words in AWAY.findall(replica.log.read_text())

            until(f"it says: {words}", told, 20, 0.05)
            client.close()
            assert redis.password not in replica.log.read_text()
