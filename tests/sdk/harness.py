"""Starts gateways and other servers for the tests that talk to a running gateway.

    with Gateway(binary, folder, config) as gateway:
        anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key)

Needs nothing but Python's own library. Every server listens on loopback, on a port that was free, writes to a
log file in the folder given, and is ended with SIGTERM; what it wrote last is shown when something goes wrong.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

START_SECONDS = 60
# The gateway announces its end for 5 s and then lets open streams run for 30 s.
STOP_SECONDS = 60


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url: str, headers: dict[str, str] | None = None, data: bytes | None = None, timeout: float = 10):
    """Status, headers and body of one HTTP request; any status will do. No proxy is asked."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


class Server:
    """A child process that listens on a port of its own."""

    def __init__(self, name: str, folder: Path, command, environment: dict[str, str], healthy: str, port: int = 0):
        """`command` makes the arguments from a port; `healthy` is the path that answers 200 once it is up. The port is
        one that is free unless it is given."""
        self.name = name
        self.log = Path(folder) / f"{name}.log"
        self.process: subprocess.Popen | None = None
        # Somebody else may take a free port before the child does: then another one.
        for attempt in range(3):
            self.port = port or free_port()
            self.url = f"http://127.0.0.1:{self.port}"
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    [str(word) for word in command(self.port)],
                    env=clean_environment() | {"PORT": str(self.port)} | environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    preexec_fn=end_with_parent,
                )
            try:
                self._wait(healthy)
                return
            except RuntimeError:
                self.kill()
                if attempt == 2 or "ddress already in use" not in self.last_words(100):
                    raise

    def _wait(self, healthy: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                code = self.process.returncode
                raise RuntimeError(f"{self.name} ended with {code} before it answered. It wrote:\n{self.last_words()}")
            try:
                if fetch(self.url + healthy, timeout=2)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(
            f"{self.name} did not answer 200 on {healthy} within {START_SECONDS} s. It wrote:\n{self.last_words()}"
        )

    def last_words(self, lines: int = 30) -> str:
        """The end of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> int:
        """Ends it as a deploy does, and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError(
                    f"{self.name} was still running {STOP_SECONDS} s after SIGTERM. It wrote:\n{self.last_words()}"
                ) from None
        return self.process.returncode

    def kill(self) -> None:
        """Ends it at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_) -> None:
        if failure is not None:
            self.kill()
            return
        code = self.stop()
        if code != 0:
            raise RuntimeError(f"{self.name} ended with {code} after SIGTERM. It wrote:\n{self.last_words()}")


class Gateway(Server):
    """`gatewayz serve` with this configuration; `[server] host` is added."""

    key = "test-client-key"
    metrics_token = "test-metrics-token"

    def __init__(self, binary, folder: Path, config: str, environment: dict[str, str] | None = None, port: int = 0):
        file = Path(folder) / "gateway.toml"
        file.write_text('[server]\nhost = "127.0.0.1"\n\n' + config)
        super().__init__(
            "gateway",
            folder,
            lambda port: [binary, "serve", "--config", file],
            {"GATEWAYZ_API_KEYS": self.key, "METRICS_TOKEN": self.metrics_token} | (environment or {}),
            "/healthz",
            port,
        )

    def metrics(self) -> dict[str, float]:
        """Every sample of a scrape, by `name{labels}` as written, labels in alphabetical order."""
        status, _, body = fetch(f"{self.url}/metrics", {"Authorization": f"Bearer {self.metrics_token}"})
        assert status == 200, f"/metrics answered {status}: {body[:500]!r}"
        samples = {}
        for line in body.decode().splitlines():
            sample = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if sample and not line.startswith("#"):
                name, labels, value = sample.groups()
                pairs = sorted(re.findall(r'\w+="(?:[^"\\]|\\.)*"', labels or ""))
                samples[name + ("{" + ",".join(pairs) + "}" if pairs else "")] = float(value)
        return samples


class Simulator(Server):
    """`gatewayz simulate`: a provider that needs no model."""

    def __init__(self, binary, folder: Path):
        command = [binary, "simulate", "--first-token", 5, "--speed", 2000]
        super().__init__("simulator", folder, lambda port: [*command, "--port", port], {}, "/v1/models")


def end_with_parent() -> None:
    """Run in a child before its program: however the tests end, what they started ends too (Linux)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def clean_environment() -> dict[str, str]:
    """This process's environment without anything that the gateway would read."""
    ours = ("GATEWAYZ_", "OPENROUTER_", "FEATHERLESS_", "ANTHROPIC_", "RUST_LOG", "METRICS_TOKEN", "REDIS_URL", "PORT")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
