"""prom.yml, the rules, and the tests of the rules."""

import re
import shutil

import pytest
import yaml

from places import PROMETHEUS, RULE_TESTS, call, passes
from shipped import ALERTS, RULE_FILES, name_of, rules

TESTED = sorted(RULE_TESTS.glob("*.test.yml"))
SEVERITIES = {"critical", "warning", "info"}


@pytest.fixture
def copy(tmp_path):
    """The folder as an entrypoint completes it."""
    folder = tmp_path / "monitoring" / "prometheus"
    shutil.copytree(PROMETHEUS, folder)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "metrics_token").write_text("token")
    tests = tmp_path / "tests" / "monitoring" / "rules"
    shutil.copytree(RULE_TESTS, tests)
    return folder, tests


def test_the_configuration_is_valid_as_it_stands(copy):
    passes("promtool", "check", "config", copy[0] / "prom.yml")


def test_the_required_job_is_as_required():
    jobs = {job["job_name"]: job for job in yaml.safe_load((PROMETHEUS / "prom.yml").read_text())["scrape_configs"]}
    staging = jobs["gatewayz_staging"]
    assert (staging["scheme"], staging["metrics_path"]) == ("https", "/metrics")
    assert (staging["scrape_interval"], staging["scrape_timeout"]) == ("15s", "10s")
    assert staging["authorization"] == {"type": "Bearer", "credentials_file": "secrets/metrics_token"}
    (private,) = jobs["gatewayz_private"]["dns_sd_configs"]
    assert (private["type"], private["port"]) == ("AAAA", 8080)


def test_the_rules_pass_every_lint():
    passes("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


@pytest.mark.parametrize("file", TESTED, ids=lambda file: file.name)
def test_the_tests_of_the_rules_pass(file):
    passes("promtool", "test", "rules", file)


@pytest.mark.parametrize("alert", ALERTS, ids=name_of)
def test_an_alert_is_labelled_explained_and_tested_both_ways(alert):
    name = alert["alert"]
    assert alert["labels"]["severity"] in SEVERITIES and alert["labels"]["component"]
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert alert["annotations"]["runbook_url"] == "{{ $externalLabels.runbooks_url }}/" + name + ".md"
    expected = [
        bool(case["exp_alerts"])
        for file in TESTED
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == name
    ]
    # The Watchdog is never quiet, that is its use.
    assert set(expected) == ({True} if name == "Watchdog" else {True, False})


COMPARED = re.compile(r"([<>]=?|[=!]=)(\s*)(\d+(?:\.\d+)?)")


def thresholds():
    """Every number that an alert compares with: file, alert, place in its expression."""
    for file in RULE_FILES:
        for rule in rules(file):
            for place, found in enumerate(COMPARED.finditer(rule["expr"]) if "alert" in rule else ()):
                yield pytest.param(file.name, rule["alert"], place, id=f"{rule['alert']}-{place}-{found[0]}")


@pytest.mark.parametrize("file, alert, place", list(thresholds()))
def test_a_threshold_ten_times_as_high_breaks_a_test(copy, file, alert, place):
    folder, tests = copy
    content = yaml.safe_load((folder / "rules" / file).read_text())
    (rule,) = (rule for group in content["groups"] for rule in group["rules"] if rule.get("alert") == alert)
    rule["expr"] = multiplied(rule["expr"], place)
    (folder / "rules" / file).write_text(yaml.safe_dump(content))
    test_file = tests / file.replace(".yml", ".test.yml")
    suite = yaml.safe_load(test_file.read_text())
    suite["tests"] = [test for test in suite["tests"] if test["alert_rule_test"][0]["alertname"] == alert]
    test_file.write_text(yaml.safe_dump(suite))
    code, output = call("promtool", "test", "rules", test_file)
    assert code != 0, f"no test notices that {alert} now asks for\n{rule['expr']}"
    assert alert in output, output


def multiplied(expression: str, place: int) -> str:
    found = list(COMPARED.finditer(expression))[place]
    # Ten times nothing would be nothing.
    number = float(found[3]) * 10 or 10
    return f"{expression[: found.start(3)]}{number:g}{expression[found.end(3) :]}"


def test_an_alert_that_compares_has_a_threshold_to_multiply():
    seen = {parameter.values[1] for parameter in thresholds()}
    assert {alert["alert"] for alert in ALERTS} - seen == {"Watchdog"}
