"""What all tests share; and, since some wait for minutes, who is still at it."""

import os
import threading
import time

import pytest


def pytest_addoption(parser):
    parser.addoption("--drills", choices=["some", "all"], default="some", help="all: every scenario of the demo")


def pytest_configure(config):
    config.addinivalue_line("markers", "long(minutes): waits for a Prometheus for so long")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(config))


def pytest_collection_modifyitems(items):
    """The longest first, each on a worker of its own."""

    def minutes(item):
        mark = item.get_closest_marker("long")
        return mark.args[0] if mark else 0

    items.sort(key=minutes, reverse=True)


class Progress:
    """Says every minute what is still running, and what was measured."""

    def __init__(self, config):
        self.running: dict[str, float] = {}
        self.config = config
        threading.Thread(target=self.tell, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid):
        self.running[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid):
        self.running.pop(nodeid, None)

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            for what, value in report.user_properties:
                self.line(f"   {what}: {value}")

    def line(self, text):
        self.config.get_terminal_writer().line(text)

    def tell(self):
        while True:
            time.sleep(60)
            for nodeid, begun in list(self.running.items()):
                self.line(f"   still running, {time.monotonic() - begun:.0f} s: {nodeid}")


@pytest.fixture(scope="session")
def binary():
    """The gateway."""
    path = os.environ.get("GATEWAYZ_BINARY")
    if not path:
        pytest.exit("GATEWAYZ_BINARY is not set; call tests/monitoring/run GATEWAYZ_BINARY", returncode=2)
    return path
