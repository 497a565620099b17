#!/usr/bin/env python3
"""Writes the dashboard *Models Monitoring*; its panels are in source/.

monitoring/grafana/write_dashboard.py          writes dashboards/models-monitoring.json
monitoring/grafana/write_dashboard.py --check  fails when the file is not what this script writes
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "source"))
import keys  # noqa: E402
import models  # noqa: E402
import plant  # noqa: E402
import traffic  # noqa: E402
from panels import DATASOURCE  # noqa: E402
from queries import JOB  # noqa: E402

TARGET = HERE / "dashboards" / "models-monitoring.json"

ROWS = [
    ("Models", models.required),
    ("Latency", traffic.latency),
    ("Outcomes", traffic.outcomes),
    ("Tokens and cost", traffic.tokens_and_cost),
    ("Keys and limits", keys.keys_and_limits),
    ("Providers", plant.providers),
    ("Saturation", plant.saturation),
    ("Scrape and alerts", plant.scrape),
]


def main() -> None:
    text = json.dumps(dashboard(), indent=2) + "\n"
    if sys.argv[1:] == ["--check"]:
        if not TARGET.is_file() or TARGET.read_text() != text:
            raise SystemExit(
                f"{TARGET.name} is not what write_dashboard.py writes; run monitoring/grafana/write_dashboard.py"
            )
    elif sys.argv[1:]:
        raise SystemExit(__doc__)
    else:
        TARGET.write_text(text)


def placed():
    """All panels in their places: from left to right, and a new line when one is full."""
    panels, top, serial = [], 0, 100
    for title, content in ROWS:
        serial += 1
        place = {"h": 1, "w": 24, "x": 0, "y": top}
        panels.append({"id": serial, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
        top, left, tallest = top + 1, 0, 0
        for made in content():
            size = made["gridPos"]
            if left + size["w"] > 24:
                top, left, tallest = top + tallest, 0, 0
            size |= {"x": left, "y": top}
            left, tallest = left + size["w"], max(tallest, size["h"])
            serial += 1
            made["id"] = made["id"] or serial
            panels.append(made)
        top += tallest
    return panels


def variable(name, label, query, everything):
    """A choice of label values, all at first."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": everything,
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
    }


def annotation(name, expr, title, colour):
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "expr": expr,
        "step": "15s",
        "titleFormat": title,
        "textFormat": "",
        "tagKeys": "",
        "useValueForTime": False,
    }


def dashboard():
    build = f"gateway_build_info{{{JOB}}}"
    return {
        "uid": "models-monitoring",
        "title": "Models Monitoring",
        "description": "Throughput, latency, errors, tokens, cost and availability of every model.",
        "tags": ["gatewayz"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "timepicker": {},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "options": [],
                    "regex": "",
                    "refresh": 1,
                    "multi": False,
                    "includeAll": False,
                    "hide": 0,
                },
                variable("job", "Job", 'label_values(up{job=~"gatewayz_.*"}, job)', "gatewayz_.*"),
                variable("model", "Model", 'label_values(model_requests_total{job=~"$job"}, model)', ".*"),
                variable(
                    "provider", "Provider", 'label_values(gateway_provider_requests_total{job=~"$job"}, provider)', ".*"
                ),
                # entrypoint.sh puts RUNBOOKS_URL in.
                {
                    "name": "runbooks",
                    "type": "constant",
                    "query": "monitoring/runbooks",
                    "current": {"text": "monitoring/runbooks", "value": "monitoring/runbooks"},
                    "options": [],
                    "hide": 2,
                    "skipUrlSync": True,
                },
            ]
        },
        "annotations": {
            "list": [
                annotation(
                    "Deploys",
                    f"count by (version, revision) ({build} unless {build} offset 1m)",
                    "deployed {{version}} {{revision}}",
                    "blue",
                ),
                annotation(
                    "Restarts",
                    f"sum by (instance) (changes(process_start_time_seconds{{{JOB}}}[1m])) > 0",
                    "{{instance}} restarted",
                    "orange",
                ),
            ]
        },
        "links": [
            {
                "type": "link",
                "title": "Runbooks",
                "url": "${runbooks}/README.md",
                "icon": "doc",
                "targetBlank": True,
                "includeVars": False,
                "keepTime": False,
                "tags": [],
                "asDropdown": False,
                "tooltip": "What to do, for each alert",
            }
        ],
        "panels": placed(),
    }


if __name__ == "__main__":
    main()
