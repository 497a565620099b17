"""The dashboard: the eleven panels as they are required, and what must hold for all."""

import itertools
import json

import pytest

from places import GRAFANA, call, passes
from shipped import DASHBOARD, PANELS, REQUIRED_IDS, name_of

GREEN_YELLOW_RED = [("green", None), ("yellow", 5), ("red", 10)]
FAMILY = [("red", None), ("yellow", 50), ("green", 80)]
AVAILABILITY = [("red", None), ("yellow", 95), ("green", 99)]


def family(pattern):
    return (
        f'sum(rate(model_requests_total{{model=~"{pattern}"}}[5m])) / sum(rate(model_requests_total[5m])) * 100',
        "gauge",
        "percent",
        FAMILY,
        None,
    )


# Title: query, type, unit, thresholds, calculations of the legend. Written out again, since it is a contract.
REQUIRED = {
    "Model Request Throughput": (
        "sum by (model) (rate(model_requests_total[5m]))",
        "timeseries",
        "reqps",
        None,
        ["mean", "max"],
    ),
    "Model Average Latency": (
        "sum by (model) (rate(model_latency_ms_sum[5m])) / sum by (model) (rate(model_latency_ms_count[5m]))",
        "timeseries",
        "ms",
        None,
        ["mean", "max"],
    ),
    "Model Error Rate": (
        "sum by (model) (rate(model_errors_total[5m])) / sum by (model) (rate(model_requests_total[5m])) * 100",
        "timeseries",
        "percent",
        GREEN_YELLOW_RED,
        ["mean", "max"],
    ),
    "Model Token Usage Rate": (
        "sum by (model) (rate(model_tokens_used_total[5m]))",
        "timeseries",
        "short",
        None,
        ["sum"],
    ),
    "Claude Models %": family("claude.*"),
    "GPT Models %": family("gpt.*"),
    "Gemini Models %": family(".*gemini.*"),
    "Llama Models %": family(".*llama.*"),
    "Mistral Models %": family(".*mistral.*"),
    "Hourly Request Distribution": (
        "sum by (model) (increase(model_requests_total[1h]))",
        "timeseries",
        "short",
        None,
        ["sum"],
    ),
    "Model Availability": (
        "sum by (model) ((sum by (model) (rate(model_requests_total[5m])) - sum by (model) "
        "(rate(model_errors_total[5m]))) / sum by (model) (rate(model_requests_total[5m]))) * 100",
        "timeseries",
        "percent",
        AVAILABILITY,
        ["mean", "min"],
    ),
}


def test_the_file_is_what_its_script_writes():
    passes(GRAFANA / "write_dashboard.py", "--check", environment={"PYTHONDONTWRITEBYTECODE": "1"})


def test_the_eleven_panels_are_there_in_their_order():
    titles = {panel["id"]: panel["title"] for panel in PANELS}
    assert [titles[number] for number in REQUIRED_IDS] == list(REQUIRED)


@pytest.mark.parametrize("title", REQUIRED)
def test_a_required_panel_is_as_required(title):
    query, kind, unit, steps, calcs = REQUIRED[title]
    (panel,) = (panel for panel in PANELS if panel["title"] == title)
    defaults = panel["fieldConfig"]["defaults"]
    assert [target["expr"] for target in panel["targets"]] == [query]
    assert (panel["type"], defaults["unit"]) == (kind, unit)
    if steps:
        found = [(step["color"], step["value"]) for step in defaults["thresholds"]["steps"]]
        assert found == steps and defaults["thresholds"]["mode"] == "absolute"
    if calcs:
        assert panel["options"]["legend"]["calcs"] == calcs
        assert [target["legendFormat"] for target in panel["targets"]] == ["{{model}}"]
    if title.startswith("Hourly"):
        assert defaults["custom"]["drawStyle"] == "bars" and defaults["custom"]["stacking"]["mode"] == "normal"


def test_it_refreshes_every_half_minute_and_is_found_by_the_alerts():
    assert (DASHBOARD["title"], DASHBOARD["uid"]) == ("Models Monitoring", "models-monitoring")
    assert DASHBOARD["refresh"] == "30s"
    assert [entry["name"] for entry in DASHBOARD["annotations"]["list"]] == ["Deploys", "Restarts"]


@pytest.mark.parametrize("panel", PANELS, ids=name_of)
def test_a_panel_explains_itself_and_asks_the_chosen_data_source(panel):
    assert len(panel["description"]) > 20 and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] and panel["fieldConfig"]["defaults"]["noValue"]
    assert panel["type"] in {"timeseries", "gauge", "stat", "table", "heatmap"}
    for asked in [panel, *panel["targets"]]:
        assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    # The sum of a rate over time is no number of anything; where it is required, the description says so.
    calcs = panel["options"].get("legend", {}).get("calcs", [])
    assert "sum" not in calcs or "total" in panel["description"]


def test_every_panel_of_ours_follows_the_variables():
    for panel in PANELS:
        for target in panel["targets"]:
            follows = "$job" in target["expr"] or target["expr"].startswith("ALERTS")
            assert follows == (panel["id"] not in REQUIRED_IDS), panel["title"]


def test_ids_are_unique_and_nothing_overlaps():
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for one, other in itertools.combinations(everything, 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one['title']} lies on {other['title']}"
        assert a["x"] + a["w"] <= 24


# --- The entrypoint ---


@pytest.mark.parametrize("end", ["", "/"])
def test_the_address_of_the_runbooks_is_put_in(tmp_path, end):
    url = "https://example.test/tree/main/run%20books"
    environment = {"GF_SECURITY_ADMIN_PASSWORD": "x", "RUNBOOKS_URL": url + end, "GRAFANA_RUN": str(tmp_path)}
    call(GRAFANA / "entrypoint.sh", environment=environment)  # ends at /run.sh, which only the image has
    written = json.loads((tmp_path / "dashboards" / "models-monitoring.json").read_text())
    (variable,) = (entry for entry in written["templating"]["list"] if entry["name"] == "runbooks")
    assert variable["query"] == url and variable["current"] == {"text": url, "value": url}
    assert written["panels"] == DASHBOARD["panels"]


@pytest.mark.parametrize(
    "environment, complaint",
    [
        ({}, "set GF_SECURITY_ADMIN_PASSWORD"),
        ({"GF_SECURITY_ADMIN_PASSWORD": "x", "RUNBOOKS_URL": 'http://a"b'}, "RUNBOOKS_URL has a character"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, environment, complaint):
    code, output = call(GRAFANA / "entrypoint.sh", environment={"GRAFANA_RUN": str(tmp_path)} | environment)
    assert code == 1 and complaint in output
