"""Starts the shipped Prometheus and Alertmanager by their own entrypoints, and a webhook that hears of alerts.

Nothing of what is shipped is changed but times: Prometheus scrapes and evaluates more often than every 15 s. Rules,
windows and the times of Alertmanager are as they are.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from places import ALERTMANAGER, PROMETHEUS, ROOT

sys.path[:0] = [str(ROOT / "tests" / "sdk"), str(ROOT / "tests" / "replicas")]
from harness import Gateway, Server, Simulator, fetch, free_port  # noqa: E402
from servers import Client, Redis, Replica  # noqa: E402

__all__ = [
    "SMALL_CONFIG",
    "Alertmanager",
    "Client",
    "Demo",
    "Gateway",
    "Prometheus",
    "Redis",
    "Replica",
    "Simulator",
    "Webhook",
    "fetch",
    "free_port",
    "until",
]


# A gateway whose models behave as they are told; `{simulator}` stands for the provider's address.
SMALL_CONFIG = """
[[providers]]
name = "simulator"
dialect = "generic"
base_url = "{simulator}/v1"

[[models]]
id = "claude-sonnet-4-5"
routes = [ {{ provider = "simulator", model = "anthropic/claude-sonnet-4.5" }} ]
price = {{ input = 3.0, output = 15.0 }}

[[models]]
id = "gpt-5"
routes = [ {{ provider = "simulator", model = "simulate-no-credit" }} ]

[[models]]
id = "gemini-2.5-flash"
routes = [ {{ provider = "simulator", model = "simulate-invalid" }} ]

[[models]]
id = "llama-4-maverick"
routes = [ {{ provider = "simulator", model = "simulate-cut-3" }} ]

[[models]]
id = "mistral-large"
routes = [ {{ provider = "simulator", model = "simulate-well" }} ]
"""


def until(what: str, check, seconds: float, every: float = 1.0):
    """The first answer of `check` that counts as true; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(every)


class Demo(Server):
    """`gatewayz demo`, with arguments; given a Redis, with all metrics that a configuration can turn on."""

    metrics_token = "test-metrics-token"

    def __init__(self, binary, folder: Path, *arguments, redis: Redis | None = None):
        environment = {"METRICS_TOKEN": self.metrics_token}
        if redis:
            environment |= {
                "GATEWAYZ__METRICS__PER_KEY": "true",
                "GATEWAYZ__LIMITS__BACKEND": "redis",
                "REDIS_URL": redis.url,
            }
        command = [binary, "demo", *arguments]
        super().__init__("demo", folder, lambda port: [*command, "--port", port], environment, "/healthz")


class Prometheus(Server):
    """The shipped one, with other intervals."""

    def __init__(self, folder: Path, target: str, token: str, alertmanager: str = "127.0.0.1:1", interval: str = "2s"):
        files = Path(folder) / "prometheus"
        shutil.copytree(PROMETHEUS, files)
        (files / "prom.yml").write_text(with_intervals((files / "prom.yml").read_text(), interval))
        environment = {
            "METRICS_TOKEN": token,
            "SCRAPE": "local",
            "SCRAPE_TARGET": target,
            "ALERTMANAGER_TARGET": alertmanager,
            "HOST": "127.0.0.1",
            "PROMETHEUS_RUN": str(files / "run"),
            "PROMETHEUS_DATA": str(files / "data"),
            "ENVIRONMENT": "test",
            "GRAFANA_URL": "http://grafana.test/",
            "RUNBOOKS_URL": "http://runbooks.test",
        }
        command = [files / "entrypoint.sh", "--log.level=warn"]
        super().__init__("prometheus", folder, lambda port: command, environment, "/-/ready")

    def query(self, expression: str) -> list[dict]:
        """The samples of an instant query; fails with Prometheus' own words."""
        status, _, body = fetch(f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        answer = json.loads(body)
        assert status == 200, f"{expression}\n{answer}"
        found = answer["data"]["result"]
        if answer["data"]["resultType"] == "scalar":
            return [{"metric": {}, "value": found}]
        return found

    def value(self, expression: str) -> float | None:
        """The one sample of a query, or nothing."""
        samples = self.query(expression)
        assert len(samples) < 2, f"{expression} has {len(samples)} samples"
        return float(samples[0]["value"][1]) if samples else None

    def firing(self) -> set[str]:
        """The alerts that fire, by name."""
        _, _, body = fetch(f"{self.url}/api/v1/alerts")
        alerts = json.loads(body)["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


class Alertmanager(Server):
    """The shipped one, with what its environment says."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        files = Path(folder) / "alertmanager"
        files.mkdir()
        environment = {
            "HOST": "127.0.0.1",
            "ALERTMANAGER_RUN": str(files / "run"),
            "ALERTMANAGER_DATA": str(files / "data"),
        } | environment
        command = [ALERTMANAGER / "entrypoint.sh", "--log.level=warn"]
        super().__init__("alertmanager", folder, lambda port: command, environment, "/-/ready")


class Webhook:
    """Hears of alerts, from callers that have the token."""

    token = "test-webhook-token"

    def __init__(self):
        self.heard: list[tuple[float, dict]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                token = self.headers["authorization"]
                allowed = self.path.startswith("/watchdog?") or token == f"Bearer {webhook.token}"
                if allowed:
                    webhook.heard.append((time.monotonic(), {"path": self.path} | json.loads(body)))
                self.send_response(200 if allowed else 401)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """What Alertmanager must be told to call here."""
        return {
            "WEBHOOK_URL": f"{self.url}/alerts?from=alert%20manager&test=100%25",
            "WEBHOOK_TOKEN": self.token,
            "WATCHDOG_URL": f"{self.url}/watchdog?by=alert%20manager",
        }

    def alerts(self, name: str, status: str) -> list[dict]:
        """The alerts of this name that it was told of in this state."""
        alerts = [alert for _, body in list(self.heard) for alert in body["alerts"]]
        return [alert for alert in alerts if alert["labels"]["alertname"] == name and alert["status"] == status]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def with_intervals(text: str, interval: str) -> str:
    """The same configuration, scraped and evaluated every `interval`. Comments go."""
    content = yaml.safe_load(text)
    content["global"] |= {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    # The entrypoint reads lines: two spaces before a job's name, lists of one line.
    for job in content["scrape_configs"]:
        for key in ("scrape_interval", "scrape_timeout"):
            job.pop(key, None)
    return yaml.dump(content, Dumper=Indented, sort_keys=False, width=1000)


class Indented(yaml.SafeDumper):
    """Lists stand two spaces in from their key, as they do in what is shipped."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)
