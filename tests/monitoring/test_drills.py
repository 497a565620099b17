"""`gatewayz demo --traffic --scenario NAME`: the alert fires, is delivered, and ends, under the shipped rules.

Two scenarios; all five with --drills all. They run side by side, each with a gateway, a Prometheus and an Alertmanager
of its own.
"""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from places import MONITORING, passes
from shipped import ALERTS
from stack import Alertmanager, Demo, Prometheus, Webhook, until

# The alert and its severity.
SCENARIOS = {
    "outage": ("ProviderDown", "critical"),
    "spend": ("TokenSpendSpike", "warning"),
    "slow": ("ModelFirstTokenSlow", "warning"),
    "ratelimit": ("ProviderRateLimited", "warning"),
    "truncate": ("ModelAnswersTruncated", "warning"),
}
SOME = ["outage", "spend"]
# In seconds: how long the trouble lasts, and what is promised from its beginning and its end.
LASTS, FIRES, RESOLVES = 150, 300, 600


def drill(binary, folder, scenario) -> dict[str, float]:
    """Runs one; how long everything took, in seconds."""
    alert, severity = SCENARIOS[scenario]
    arguments = ["--traffic", "--scenario", scenario, "--scenario-lasts", f"{LASTS}s"]
    with Webhook() as webhook, Alertmanager(folder, webhook.environment()) as alertmanager:
        with Demo(binary, folder, *arguments) as demo:
            watcher = f"127.0.0.1:{alertmanager.port}"
            target = f"127.0.0.1:{demo.port}"
            with Prometheus(folder, target, demo.metrics_token, alertmanager=watcher) as prometheus:
                until("the scenario begins", lambda: said(demo, f"{scenario} has begun: {alert} should fire"), 60)
                begun = time.monotonic()
                assert alert not in prometheus.firing(), "it fires before there is trouble"
                until(f"{alert} is delivered", lambda: webhook.alerts(alert, "firing"), FIRES)
                fired = time.monotonic() - begun
                (told, *_) = webhook.alerts(alert, "firing")
                assert told["labels"]["severity"] == severity and "<error" not in str(told["annotations"])
                until("the scenario ends", lambda: said(demo, f"{scenario} is over"), LASTS)
                over = time.monotonic()
                until(f"the end of {alert} is delivered", lambda: ended(webhook, alert), RESOLVES)
                return {"delivered after": fired, "resolved after its end": time.monotonic() - over}


def said(demo, words) -> bool:
    return words in demo.log.read_text()


def ended(webhook, alert) -> bool:
    """Whether the last word about every such alert is that it is over."""
    last = {}
    for _, body in list(webhook.heard):
        for found in body["alerts"]:
            if found["labels"]["alertname"] == alert:
                last[str(sorted(found["labels"].items()))] = found["status"]
    return set(last.values()) == {"resolved"}


def pytest_generate_tests(metafunc):
    if "scenario" in metafunc.fixturenames:
        metafunc.parametrize("scenario", chosen(metafunc.config))


def chosen(config) -> list[str]:
    return list(SCENARIOS) if config.getoption("--drills") == "all" else SOME


@pytest.fixture(scope="module")
def drills(binary, tmp_path_factory, request):
    """All that were chosen, under way."""
    scenarios = chosen(request.config)
    with ThreadPoolExecutor(len(scenarios)) as pool:
        folders = {scenario: tmp_path_factory.mktemp(scenario) for scenario in scenarios}
        yield {name: pool.submit(drill, binary, folder, name) for name, folder in folders.items()}


def test_the_scenarios_are_those_of_the_demo_and_raise_alerts_that_exist(binary):
    told = passes(binary, "demo", "--help")
    assert set(re.findall(r"^ +- (\w+): ", told, re.M)) == set(SCENARIOS)
    severities = {alert["alert"]: alert["labels"]["severity"] for alert in ALERTS}
    assert all(severities[alert] == severity for alert, severity in SCENARIOS.values())
    documented = re.findall(r"^\| `(\w+)` \|.*\| (\w+)", (MONITORING / "README.md").read_text(), re.M)
    assert dict(documented) == {scenario: alert for scenario, (alert, _) in SCENARIOS.items()}


@pytest.mark.long(10)
def test_a_drill_pages_and_ends(drills, scenario, record_property):
    for what, seconds in drills[scenario].result().items():
        record_property(f"{SCENARIOS[scenario][0]} {what}", f"{seconds:.0f} s")
