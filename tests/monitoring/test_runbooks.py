"""Alerts and runbooks belong together."""

import re
import shutil

import pytest

from places import MONITORING, RUNBOOKS, call
from shipped import ALERTS, DASHBOARD, PANELS, RUNBOOK_FILES, name_of
from stack import Alertmanager, Prometheus, fetch, until

TOPICS = {
    "no-data-in-panels",
    "bearer-token",
    "staging-unreachable",
    "model-is-slow",
    "model-fails",
    "provider-account",
    "replicas-mixed",
}


def test_every_alert_has_its_runbook_and_the_reverse():
    assert set(RUNBOOK_FILES) - TOPICS - {"README"} == {alert["alert"] for alert in ALERTS}
    assert TOPICS <= set(RUNBOOK_FILES)


@pytest.mark.parametrize("alert", ALERTS, ids=name_of)
def test_a_runbook_of_an_alert_says_what_a_reader_at_night_needs(alert):
    text = RUNBOOK_FILES[alert["alert"]].read_text()
    assert text.startswith(f"# {alert['alert']}\n\nSeverity: {alert['labels']['severity']}")
    assert re.findall(r"^## (.*)$", text, re.M) == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert "```promql" in text or "```bash" in text


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_a_runbook_by_symptom_starts_from_it_and_gives_something_to_paste(topic):
    text = RUNBOOK_FILES[topic].read_text()
    assert re.match(r"# .*\n\nYou see ", text)
    assert "```promql" in text and "```bash" in text


@pytest.mark.parametrize("file", [*RUNBOOK_FILES.values(), MONITORING / "README.md"], ids=lambda file: file.stem)
def test_links_lead_to_files(file):
    for target in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
        assert target.startswith("http") or (file.parent / target).is_file(), target


def test_the_overview_names_every_runbook():
    named = set(re.findall(r"\]\(([\w-]+)\.md\)", (RUNBOOKS / "README.md").read_text()))
    assert named == set(RUNBOOK_FILES) - {"README"}


def test_links_of_the_dashboard_lead_to_runbooks():
    links = [link["url"] for panel in PANELS for link in panel["links"]] + [link["url"] for link in DASHBOARD["links"]]
    assert len(links) > 20
    for url in links:
        assert url.removeprefix("${runbooks}/").removesuffix(".md") in RUNBOOK_FILES, url


# --- What is to be pasted in the containers, where there is little ---

IN_IMAGES = ["grep", "nslookup", "sha256sum", "tr", "wget"]


@pytest.fixture(scope="module")
def watchers(tmp_path_factory):
    """Prometheus and Alertmanager, and a gateway that does not answer."""
    folder = tmp_path_factory.mktemp("watchers")
    with Alertmanager(folder, {}) as alertmanager:
        target = f"127.0.0.1:{alertmanager.port}"
        with Prometheus(folder, "127.0.0.1:1", "token", alertmanager=target) as prometheus:
            until("a scrape has failed", lambda: prometheus.value('up{job="gatewayz_local"}') == 0, 30)
            until("it knows its Alertmanager", lambda: knows(prometheus, target), 30)
            yield {"promtool": prometheus, "amtool": alertmanager}


def knows(prometheus, alertmanager) -> bool:
    return alertmanager.encode() in fetch(f"{prometheus.url}/api/v1/alertmanagers")[2]


@pytest.mark.parametrize("tool, port", [("promtool", 9090), ("amtool", 9093)])
def test_what_is_to_be_pasted_in_a_container_needs_nothing_else(watchers, tmp_path, tool, port):
    for applet in IN_IMAGES:
        (tmp_path / applet).symlink_to(shutil.which("busybox"))
    (tmp_path / tool).symlink_to(shutil.which(tool))
    blocks = re.findall(r"^```sh\n(.*?)^```$", (RUNBOOKS / "README.md").read_text(), re.M | re.S)
    (block,) = (block for block in blocks if tool in block)
    address, *commands = block.replace(f"http://127.0.0.1:{port}", watchers[tool].url).splitlines()
    told = {}
    for command in commands:
        # Nothing is wrong with the rules, so that grep finds nothing.
        code, told[command] = call(
            "/usr/bin/env", "-i", f"PATH={tmp_path}", shutil.which("busybox"), "sh", "-c", f"{address}\n{command}"
        )
        assert code == 0 or ("api/v1/rules" in command and not told[command]), f"{command}\n{told[command]}"
    everything = "\n".join(told.values())
    for expected in {
        "promtool": ["=> 0 @", "Ready", '"lastError":"Get', '"health":"down"', "/api/v2/alerts"],
        "amtool": ["OK"],
    }[tool]:
        assert expected in everything, everything
