"""Every name in a query exists in a scrape, and every family of the gateway is shown."""

import re

import promql_parser
import pytest

from shipped import PANELS, RECORDED, expressions, queries_to_paste, resolved
from stack import Alertmanager, Demo, Prometheus, Redis, Webhook, fetch, until

# Families that no panel shows, and why.
NOT_SHOWN: dict[str, str] = {}
# What Prometheus adds to each sample of a scrape, and what it says about the scrape and the alerts.
ADDED = {"job", "instance"}
OF_PROMETHEUS = {
    "up": ADDED,
    "scrape_duration_seconds": ADDED,
    "scrape_samples_scraped": ADDED,
    "ALERTS": {"alertname", "alertstate", "severity", "component"},
}
SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? \S+")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Scrape:
    """The samples of one or more expositions: labels by name, and the families."""

    def __init__(self):
        self.series: dict[str, list[dict[str, str]]] = {}
        self.families: set[str] = set()

    def read(self, text: str):
        self.families |= set(re.findall(r"^# TYPE (\w+) ", text, re.M))
        for line in text.splitlines():
            if sample := SAMPLE.fullmatch(line):
                self.series.setdefault(sample[1], []).append(dict(LABEL.findall(sample[2] or "")))

    def labels(self, name: str) -> set[str]:
        """The labels that a sample of this name has in Prometheus."""
        if name in RECORDED:
            # By convention the name begins with what is left of the labels.
            return {name.split(":")[0]} - {"gateway"}
        if name in OF_PROMETHEUS:
            return OF_PROMETHEUS[name]
        return {label for series in self.series[name] for label in series} | ADDED


def exposition(server, token=None) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    status, _, body = fetch(f"{server.url}/metrics", headers)
    assert status == 200
    return body.decode()


@pytest.fixture(scope="module")
def gateway_scrape(binary, tmp_path_factory):
    """Of a gateway that has been at work."""
    folder = tmp_path_factory.mktemp("demo")
    with Redis(folder) as redis, Demo(binary, folder, "--traffic", "--rate", "50", redis=redis) as demo:

        def at_work():
            text = exposition(demo, demo.metrics_token)
            return "gateway_ratelimit_remaining{" in text and text

        scrape = Scrape()
        scrape.read(until("a provider has told its limit", at_work, 60))
        return scrape


@pytest.fixture(scope="module")
def scrape(gateway_scrape, tmp_path_factory):
    """Of everything that is scraped."""
    folder = tmp_path_factory.mktemp("watchers")
    everything = Scrape()
    everything.series |= gateway_scrape.series
    with Webhook() as webhook, Alertmanager(folder, webhook.environment()) as alertmanager:
        target = f"127.0.0.1:{alertmanager.port}"
        with Prometheus(folder, "127.0.0.1:1", "token", alertmanager=target) as prometheus:
            until("it knows its Alertmanager", lambda: "notifications_errors_total{" in exposition(prometheus), 60)
            until("it has evaluated its rules", lambda: "failures_total{rule_group=" in exposition(prometheus), 60)
            everything.read(exposition(prometheus))
            everything.read(exposition(alertmanager))
    return everything


QUERIES = [*expressions(), *queries_to_paste()]


def parts(expression: str):
    """The selectors of a query, and the labels by which it groups and joins."""
    selectors, labels = [], set()

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            selectors.append(node)
        modifier = getattr(node, "modifier", None)
        for holder in (modifier, getattr(modifier, "matching", None)):
            labels.update(getattr(holder, "labels", None) or [])

    promql_parser.walk(promql_parser.parse(expression), visit)
    return selectors, labels


@pytest.mark.parametrize("where, query", QUERIES, ids=[f"{name}-{at}" for at, (name, _) in enumerate(QUERIES)])
def test_every_name_in_a_query_is_in_a_scrape(scrape, where, query):
    selectors, labels = parts(resolved(query))
    known = set()
    for selector in selectors:
        name = selector.name
        assert name in scrape.series or name in OF_PROMETHEUS or name in RECORDED, f"nobody serves {name}"
        known |= scrape.labels(name)
        for matcher in selector.matchers.matchers:
            assert matcher.name in scrape.labels(name), f"{name} has no label {matcher.name}"
            assert_matched(scrape, name, matcher)
    assert labels <= known, f"nothing in this query has {labels - known}"


def assert_matched(scrape, name, matcher):
    """Each alternative that a matcher names is a value that there is."""
    values = {series[matcher.name] for series in scrape.series.get(name, ()) if matcher.name in series}
    if not values or matcher.op in (promql_parser.MatchOp.NotEqual, promql_parser.MatchOp.NotRe):
        return
    alternatives = matcher.value.split("|") if matcher.op == promql_parser.MatchOp.Re else [re.escape(matcher.value)]
    for wanted in alternatives:
        assert any(re.fullmatch(wanted, value) for value in values), f"no {name} has {matcher.name} {wanted}: {values}"


def test_every_family_of_the_gateway_is_on_a_panel(gateway_scrape):
    shown = set()
    for panel in PANELS:
        for target in panel["targets"]:
            shown |= {selector.name for selector in parts(resolved(target["expr"]))[0]}
    shown |= {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    assert gateway_scrape.families - shown == set(NOT_SHOWN)


def test_a_name_that_nobody_serves_would_be_noticed(scrape):
    with pytest.raises(AssertionError, match="nobody serves model_request_total"):
        test_every_name_in_a_query_is_in_a_scrape(scrape, "", "rate(model_request_total[5m])")
    with pytest.raises(AssertionError, match="no gateway_errors_total has type"):
        test_every_name_in_a_query_is_in_a_scrape(scrape, "", 'gateway_errors_total{type="interrupted"}')
    with pytest.raises(AssertionError, match="nothing in this query has"):
        test_every_name_in_a_query_is_in_a_scrape(scrape, "", "sum by (provider) (model_errors_total)")
