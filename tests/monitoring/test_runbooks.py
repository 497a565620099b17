"""Alerts and runbooks belong together."""

import re

import pytest

from places import MONITORING, RUNBOOKS
from shipped import ALERTS, DASHBOARD, PANELS, RUNBOOK_FILES, name_of

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
