"""The panels' queries on a real Prometheus that watches a real gateway, busy and idle."""

import math
import re

import pytest

from shipped import PANELS, REQUIRED_IDS, name_of, queries_to_paste, resolved
from stack import SMALL_CONFIG, Demo, Gateway, Prometheus, Redis, Simulator, until

# Queries that find nothing while all is well: the open circuits.
NOTHING_TO_TELL = {("Circuits", "B")}


def values(prometheus, target) -> list[tuple[dict, float]]:
    """What a panel's query gives now."""
    return [(sample["metric"], float(sample["value"][1])) for sample in prometheus.query(resolved(target["expr"]))]


@pytest.fixture(scope="module")
def busy(binary, tmp_path_factory):
    """A Prometheus that has watched the demo until every model has had traffic."""
    folder = tmp_path_factory.mktemp("busy")
    with Redis(folder) as redis, Demo(binary, folder, "--traffic", "--rate", "30", redis=redis) as demo:
        with Prometheus(folder, f"127.0.0.1:{demo.port}", demo.metrics_token) as prometheus:
            until("every model has answered", lambda: all_answered(prometheus), 240)
            failures = "sum(increase(model_errors_total[5m])) > 0"
            until("a request has failed", lambda: prometheus.query(failures), 120)
            yield prometheus


def all_answered(prometheus) -> bool:
    """Whether every model has answered within the last minute."""
    answers = prometheus.query("rate(model_latency_ms_count[1m])")
    return len(answers) > 30 and all(float(sample["value"][1]) > 0 for sample in answers)


@pytest.mark.long(2)
@pytest.mark.parametrize("panel", PANELS, ids=name_of)
def test_every_query_of_a_panel_has_data_under_traffic(busy, panel):
    for target in panel["targets"]:
        found = values(busy, target)
        assert found or (panel["title"], target["refId"]) in NOTHING_TO_TELL, f"no data: {resolved(target['expr'])}"
        assert all(math.isfinite(value) for _, value in found), f"{resolved(target['expr'])}\n{found}"
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert all(label in metric for metric, _ in found), f"{panel['title']}: the legend asks for {label}"


@pytest.mark.long(2)
def test_the_panels_tell_the_same_in_several_ways(busy):
    """Shares add up, availability and error rate complete each other, both forms of a required panel agree."""
    by_title = {panel["title"]: panel for panel in PANELS}

    def told(title, at=0):
        found = values(busy, by_title[title]["targets"][at])
        return {metric.get("model", ""): value for metric, value in found}

    errors, availability = told("Error rate of models with traffic"), told("Availability of models with traffic")
    # Not one model less than the required panels have.
    for title in ("Model Error Rate", "Model Availability", "Model Average Latency"):
        assert set(told(title)) == set(errors)
    assert set(availability) == set(errors)
    assert any(errors.values()) and not all(errors.values())
    for model, share in errors.items():
        # The two queries are some milliseconds apart.
        assert abs(share + availability[model] - 100) < 5, model
    shares = [told("Shares of the families", at)[""] for at in range(6)]
    assert abs(sum(shares) - 100) < 0.5 and all(share > 0 for share in shares[:5])


@pytest.mark.long(1)
def test_without_any_traffic_no_panel_of_ours_and_no_runbook_says_nonsense(binary, tmp_path):
    with Simulator(binary, tmp_path) as simulator:
        with Gateway(binary, tmp_path, SMALL_CONFIG.format(simulator=simulator.url)) as gateway:
            with Prometheus(tmp_path, f"127.0.0.1:{gateway.port}", gateway.metrics_token) as prometheus:
                until("it has scraped a few times", lambda: scrapes(prometheus) > 5, 60)
                for panel in PANELS:
                    for target in panel["targets"] if panel["id"] not in REQUIRED_IDS else ():
                        found = values(prometheus, target)
                        assert all(math.isfinite(value) for _, value in found), panel["title"]
                for runbook, query in queries_to_paste():
                    found = prometheus.query(query)
                    assert all(math.isfinite(float(sample["value"][1])) for sample in found), f"{runbook}: {query}"
                # The required ones do, which is why there are others beside them.
                (latency,) = (panel for panel in PANELS if panel["title"] == "Model Average Latency")
                assert all(math.isnan(value) for _, value in values(prometheus, latency["targets"][0]))


def scrapes(prometheus) -> float:
    return (
        prometheus.value('sum(count_over_time(up{job="gatewayz_local"}[10m]) and up{job="gatewayz_local"} == 1)') or 0
    )
