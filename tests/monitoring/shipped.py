"""What monitoring/ ships, read: rules, dashboard, runbooks."""

from __future__ import annotations

import json
import re

import yaml

from places import GRAFANA, PROMETHEUS, RUNBOOKS

RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))


def rules(file) -> list[dict]:
    """The rules of a file, alerts and recordings."""
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


RULES = [rule for file in RULE_FILES for rule in rules(file)]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}

DASHBOARD = json.loads((GRAFANA / "dashboards" / "models-monitoring.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# The eleven that are given; all others are ours.
REQUIRED_IDS = range(1, 12)

RUNBOOK_FILES = {file.stem: file for file in sorted(RUNBOOKS.glob("*.md"))}


def name_of(rule: dict) -> str:
    """For the names of tests."""
    return rule.get("alert") or rule.get("record") or rule["title"]


def expressions() -> list[tuple[str, str]]:
    """Every query there is, with where it stands; the dashboard's variables are still in it."""
    found = [(name_of(rule), rule["expr"]) for rule in RULES]
    found += [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    found += [(entry["name"], entry["expr"]) for entry in DASHBOARD["annotations"]["list"]]
    return found


def queries_to_paste() -> list[tuple[str, str]]:
    """Those of the runbooks, with where they stand."""
    block = re.compile(r"^ *```promql\n(.*?)^ *```$", re.M | re.S)
    return [(name, query) for name, file in RUNBOOK_FILES.items() for query in block.findall(file.read_text())]


def resolved(expression: str, rate_interval: str = "1m", time_range: str = "1h") -> str:
    """The query as Grafana sends it with everything chosen."""
    values = {
        "$__rate_interval": rate_interval,
        "$__range": time_range,
        "$job": "gatewayz_.*",
        "$model": ".*",
        "$provider": ".*",
    }
    for name, value in values.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that nobody knows: {expression}"
    return expression
