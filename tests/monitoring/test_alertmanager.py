"""Who hears of which alert."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from entrypoints import SHELLS, run_alone
from places import ALERTMANAGER, call, passes
from shipped import ALERTS, name_of
from stack import Alertmanager, Webhook, fetch, until

CONFIG = ALERTMANAGER / "alertmanager.yml"
RECEIVERS = {"critical": "pager", "warning": "channel", "info": "nobody"}


def test_the_configuration_is_valid_as_it_stands():
    passes("amtool", "check-config", CONFIG)


@pytest.mark.parametrize("alert", ALERTS, ids=name_of)
def test_every_alert_reaches_the_receiver_of_its_severity(alert):
    labels = {"alertname": alert["alert"], "environment": "test"} | alert["labels"]
    receiver = "watchdog" if alert["alert"] == "Watchdog" else RECEIVERS[labels["severity"]]
    labels = [f"{name}={value}" for name, value in labels.items()]
    passes("amtool", "config", "routes", "test", f"--config.file={CONFIG}", f"--verify.receivers={receiver}", *labels)


def test_an_unknown_severity_is_not_lost():
    passes(
        "amtool", "config", "routes", "test", f"--config.file={CONFIG}", "--verify.receivers=channel", "severity=odd"
    )


def test_a_wrong_receiver_would_be_noticed():
    verify = ["--verify.receivers=channel", "severity=critical"]
    assert call("amtool", "config", "routes", "test", f"--config.file={CONFIG}", *verify)[0] != 0


def test_inhibitions_name_alerts_that_exist():
    names = {alert["alert"] for alert in ALERTS}
    for rule in yaml.safe_load(CONFIG.read_text())["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, _, value = matcher.replace("=~", "=").partition("=")
            if label == "alertname":
                assert set(value.strip('"').split("|")) <= names, matcher


# --- The entrypoint ---

EMAIL = {
    "EMAIL_TO": "to@example.test,also@example.test",
    "EMAIL_FROM": "from@example.test",
    "SMTP_SMARTHOST": "mail.example.test:587",
    "SMTP_USERNAME": "name",
    "SMTP_PASSWORD": "a&b|c\\d'\"e",
}


@pytest.fixture(params=SHELLS)
def laid_out(request, tmp_path):
    """Runs it: exit code, output and the folder that it wrote."""

    def run(environment):
        run = tmp_path / "run"
        environment = {"ALERTMANAGER_RUN": str(run)} | environment
        entrypoint = ALERTMANAGER / "entrypoint.sh"
        return *run_alone(tmp_path, request.param, entrypoint, "amtool", "alertmanager", environment), run

    return run


def test_without_an_environment_nobody_is_told_and_it_says_so(laid_out):
    code, output, run = laid_out({})
    assert code == 0 and "nobody will be told" in output
    receivers = yaml.safe_load((run / "alertmanager.yml").read_text())["receivers"]
    assert receivers == [{"name": name} for name in ("nobody", "pager", "channel", "watchdog")]


def test_with_everything_set_all_is_on_and_secrets_are_in_files_alone(laid_out):
    secrets = {
        "PAGERDUTY_ROUTING_KEY": "secret-key",
        "SLACK_WEBHOOK_URL": "https://slack.test/secret-slack",
        "WEBHOOK_TOKEN": "secret-token",
        "SMTP_PASSWORD": EMAIL["SMTP_PASSWORD"],
    }
    addresses = {"WEBHOOK_URL": "https://hook.test/a?b=c&d=%20", "WATCHDOG_URL": "https://watchdog.test/%2F/x?y=100%25"}
    code, output, run = laid_out(EMAIL | addresses | secrets)
    assert code == 0, output
    text = (run / "alertmanager.yml").read_text()
    receivers = {receiver["name"]: receiver for receiver in yaml.safe_load(text)["receivers"]}
    assert set(receivers["pager"]) == {"name", *(f"{k}_configs" for k in ("pagerduty", "slack", "webhook", "email"))}
    assert set(receivers["channel"]) == {"name", *(f"{k}_configs" for k in ("slack", "webhook", "email"))}
    assert receivers["channel"]["webhook_configs"][0]["url"] == addresses["WEBHOOK_URL"]
    assert receivers["watchdog"]["webhook_configs"][0]["url"] == addresses["WATCHDOG_URL"]
    assert receivers["pager"]["email_configs"][0]["to"] == EMAIL["EMAIL_TO"]
    assert ".invalid" not in json.dumps(receivers)
    written = {file.read_text() for file in (run / "secrets").iterdir()}
    assert written == set(secrets.values())
    assert all(file.stat().st_mode & 0o077 == 0 for file in (run / "secrets").iterdir())
    # `output` is the environment that Alertmanager gets.
    assert not any(secret in text or secret in output for secret in secrets.values())


@pytest.mark.parametrize(
    "environment, complaint",
    [
        ({"WEBHOOK_URL": "http://hook.test"}, "WEBHOOK_TOKEN"),
        ({"WEBHOOK_URL": 'http://hook.test"', "WEBHOOK_TOKEN": "t"}, "WEBHOOK_URL has a character"),
        ({"EMAIL_TO": "to@example.test"}, "needs EMAIL_FROM"),
        (EMAIL | {"SMTP_SMARTHOST": "mail.example.test"}, "missing port"),
        ({"PORT": "90a"}, "PORT is a number"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_starts(laid_out, environment, complaint):
    code, output, _ = laid_out(environment)
    assert code != 0 and complaint in output, output


# --- A real one ---


@pytest.fixture
def running(tmp_path):
    with Webhook() as webhook, Alertmanager(tmp_path, webhook.environment()) as alertmanager:
        yield alertmanager, webhook


def post(alertmanager, *alerts):
    """Alerts that fire, as Prometheus sends them."""
    ends = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    body = [{"labels": {"environment": "test"} | labels, "endsAt": ends} for labels in alerts]
    headers = {"content-type": "application/json"}
    status, _, answer = fetch(f"{alertmanager.url}/api/v2/alerts", headers, json.dumps(body).encode())
    assert status == 200, answer


def inhibited(alertmanager) -> set[str]:
    _, _, body = fetch(f"{alertmanager.url}/api/v2/alerts")
    return {alert["labels"]["alertname"] for alert in json.loads(body) if alert["status"]["inhibitedBy"]}


@pytest.mark.parametrize(
    "source, targets, others",
    [
        (
            {"alertname": "GatewayAbsent"},
            [
                {"alertname": "ProviderDown", "component": "provider", "provider": "a"},
                {"alertname": "ModelErrorBudgetBurnFast", "component": "model", "model": "m"},
                {"alertname": "GatewayTargetDown", "component": "scrape"},
            ],
            [{"alertname": "AlertmanagerNotificationsFailing", "component": "monitoring"}],
        ),
        (
            {"alertname": "ProviderDown", "provider": "a"},
            [{"alertname": "ProviderCircuitOpen", "provider": "a", "model": "m"}],
            [{"alertname": "ProviderRateLimited", "provider": "b"}, {"alertname": "ProviderAccountRefused"}],
        ),
        (
            {"alertname": "ModelErrorBudgetBurnFast", "model": "m"},
            [{"alertname": "ModelErrorBudgetBurnSlow", "model": "m"}],
            [{"alertname": "ModelLatencyBudgetBurnSlow", "model": "m"}],
        ),
        (
            {"alertname": "ReplicasMixed", "job": "j", "instance": "i"},
            [{"alertname": "GatewayRestarting", "job": "j", "instance": "i"}],
            [{"alertname": "GatewaySaturated", "job": "j"}],
        ),
    ],
    ids=lambda value: value.get("alertname") if isinstance(value, dict) else None,
)
def test_what_follows_from_another_alert_is_held_back(running, source, targets, others):
    alertmanager, _ = running
    post(alertmanager, source, *targets, *others)
    expected = {target["alertname"] for target in targets}
    until(f"{expected} held back", lambda: inhibited(alertmanager) == expected, 10, 0.2)


def test_a_page_arrives_with_what_its_reader_needs(running):
    alertmanager, webhook = running
    post(
        alertmanager,
        {"alertname": "ProviderDown", "severity": "critical"},
        {"alertname": "Watchdog", "severity": "info"},
    )
    post(alertmanager, {"alertname": "ProviderRateLimitNearlySpent", "severity": "info"})
    until("the watchdog is called at once", lambda: webhook.alerts("Watchdog", "firing"), 15, 0.2)
    (page,) = until("the page arrives within the group's wait", lambda: webhook.alerts("ProviderDown", "firing"), 40)
    assert page["labels"]["severity"] == "critical"
    paths = {"/watchdog?by=alert%20manager", "/alerts?from=alert%20manager&test=100%25"}
    assert {body["path"] for _, body in webhook.heard} == paths, "as they were written"
    assert not webhook.alerts("ProviderRateLimitNearlySpent", "firing")
