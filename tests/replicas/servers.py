"""A Redis that can be killed, gateways that share it, and clients that ask both."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from harness import Gateway, end_with_parent, fetch, free_port

MODEL = "simulate-well"


class Redis:
    """A redis-server that writes everything down, on a port of its own."""

    password = "s3cret-of-redis"

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        options = {
            "port": self.port, "bind": "127.0.0.1", "dir": self.folder, "requirepass": self.password, "save": "",
            "appendonly": "yes", "appendfsync": "everysec", "daemonize": "no",
        }
        command = ["redis-server"] + [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent
            )
        deadline = time.monotonic() + 20
        while True:
            try:
                if self.ask("PING").startswith("+PONG"):
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, (self.folder / "redis.log").read_text()
            time.sleep(0.02)

    def ask(self, command: str) -> str:
        """The raw answer to one command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(f"AUTH {self.password}\r\n{command}\r\n".encode())
            answers = connection.makefile("rb")
            answers.readline()
            answer = answers.readline()
            if answer.startswith(b"$") and int(answer[1:]) >= 0:
                answer = answers.readline()
        return answer.decode().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It is there and does not answer."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.kill()


class Wire:
    """The way to a Redis, on which answers take so many seconds longer."""

    def __init__(self, redis: Redis):
        self.redis, self.delay = redis, 0.0
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.url = redis.url.replace(f":{redis.port}/", f":{port}/")
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.redis.port))
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket, are_answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if are_answers:
                    time.sleep(self.delay)
                to.sendall(data)
        except OSError:
            pass
        for each in (source, to):
            each.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_) -> None:
        self.listener.close()


class Replica(Gateway):
    """A gateway whose keys are called as they are."""

    def __init__(self, binary, folder: Path, simulator: str, redis: str, keys: dict[str, str], on_failure: str):
        entries = "".join(
            f'[[auth.keys]]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n'
            f"limits = {{ {limits} }}\n"
            for name, limits in keys.items()
        )
        config = (
            f'workers = 2\ndrain_notice = "0s"\n[limits]\nbackend = "redis"\non_backend_failure = "{on_failure}"\n'
            f"[auth]\nkey_sha256 = []\n{entries}"
            f'[[providers]]\nname = "simulator"\ndialect = "generic"\nbase_url = "{simulator}/v1"\n'
            '[[models]]\nid = "simulate-*"\nroutes = [ { provider = "simulator", model = "*" } ]\n'
            # So much that a request costs about a dollar.
            "price = { input = 10000.0, output = 10000.0 }\n"
        )
        super().__init__(binary, folder, config, {"REDIS_URL": redis})

    def is_up(self) -> bool:
        return self.metrics()["gateway_limits_backend_up"] == 1

    def failures(self) -> int:
        return int(self.metrics()["gateway_limits_backend_failures_total"])

    def usage(self, key: str) -> dict:
        """What the gateway says that this key has used today, over all replicas."""
        status, _, body = fetch(f"{self.url}/admin/usage", {"Authorization": f"Bearer {self.metrics_token}"})
        assert status == 200, body
        usage = json.loads(body)
        of_key = next(each for each in usage["keys"] if each["key"] == key)
        assert of_key["day"]["total"] == of_key["month"]["total"], "one day is all of the month that there is"
        return of_key["day"]["total"] | {"shared": usage["shared"]}


class Client:
    """One connection to each replica; asks them in turn."""

    def __init__(self, key: str, *replicas: Replica):
        self.key, self.turn = key, 0
        self.connections = [http.client.HTTPConnection("127.0.0.1", each.port, timeout=30) for each in replicas]

    def open(self, model: str = MODEL, **fields) -> http.client.HTTPResponse:
        """Sends a message; what is answered is still to be read."""
        connection = self.connections[self.turn % len(self.connections)]
        self.turn += 1
        body = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "repeat: yes"}]} | fields
        connection.request("POST", "/v1/messages", json.dumps(body), {
            "x-api-key": self.key, "content-type": "application/json", "connection": "keep-alive",
        })
        return connection.getresponse()

    def ask(self, **fields) -> tuple[int, dict, bytes]:
        answer = self.open(**fields)
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class Crowd:
    """Clients that ask one after the other, each as fast as it is answered, until they are told to stop."""

    def __init__(self, key: str, number: int, *replicas: Replica):
        self.answers: list[tuple[float, int, bytes]] = []
        self.started, self.stopping, self.pause = time.monotonic(), threading.Event(), 0.0
        self.threads = [threading.Thread(target=self._ask, args=(key, at, replicas)) for at in range(number)]
        for thread in self.threads:
            thread.start()

    def _ask(self, key: str, at: int, replicas) -> None:
        client = Client(key, *replicas)
        client.turn = at
        while not self.stopping.is_set():
            begun = time.monotonic()
            try:
                status, _, body = client.ask()
            except (OSError, http.client.HTTPException) as error:
                status, body = 0, repr(error).encode()
            self.answers.append((time.monotonic() - begun, status, body))
        client.close()

    def stop(self) -> float:
        """The seconds that it took."""
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return time.monotonic() - self.started

    def count(self, status: int) -> int:
        return sum(1 for _, each, _ in self.answers if each == status)

    def others(self, *expected: int) -> list:
        return [answer for answer in self.answers if answer[1] not in expected]


def in_time(replicas, ask, tries: int = 10):
    """The answer when Redis was in time for all of it. On a machine that is too busy for milliseconds it is not always,
    and then each replica decides by what it knows, which is another thing to test."""
    for number in range(tries):
        before = sum(each.failures() for each in replicas)
        answer = ask(number)
        if all(each.is_up() for each in replicas) and sum(each.failures() for each in replicas) == before:
            return answer
    raise AssertionError(f"Redis was late in each of {tries} tries")


def eventually(what: str, so, seconds: float = 20):
    """Asks again and again until the answer is truthy, and gives it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = so()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what} did not come about within {seconds} s"
        time.sleep(0.02)
