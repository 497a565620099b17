"""Two gateways, one Redis, one simulator."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "sdk"))
from harness import Simulator  # noqa: E402
from servers import Redis, Replica, Wire  # noqa: E402


@pytest.fixture(scope="session")
def binary():
    path = os.environ.get("GATEWAYZ_BINARY")
    if not path:
        pytest.exit("GATEWAYZ_BINARY is not set; call tests/replicas/run GATEWAYZ_BINARY", returncode=2)
    return path


@pytest.fixture(scope="session")
def simulator(binary, tmp_path_factory):
    with Simulator(binary, tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
def redis(tmp_path):
    with Redis(tmp_path) as running:
        yield running


@pytest.fixture
def wire(redis):
    with Wire(redis) as running:
        yield running


@pytest.fixture
def replica(binary, tmp_path, simulator, redis):
    """Starts another gateway on this Redis: `replica({"key": "requests_per_minute = 60"})`."""
    running = []

    def start(keys: dict[str, str], on_failure: str = "allow", url: str = redis.url) -> Replica:
        folder = tmp_path / f"replica-{len(running)}"
        folder.mkdir()
        running.append(Replica(binary, folder, simulator.url, url, keys, on_failure))
        return running[-1]

    yield start
    for each in running:
        log = each.log.read_text()
        each.stop()
        assert redis.password not in log, "the password of Redis stands in a log"
        assert "panicked" not in log, log
