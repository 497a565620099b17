"""A Prometheus that has the wrong token."""

import json

import pytest

from stack import SMALL_CONFIG, Alertmanager, Gateway, Prometheus, Simulator, Webhook, fetch, until


@pytest.mark.long(4)
def test_a_wrong_token_takes_the_target_down_and_pages(binary, tmp_path):
    with Webhook() as webhook, Alertmanager(tmp_path, webhook.environment()) as alertmanager:
        with Simulator(binary, tmp_path) as simulator:
            with Gateway(binary, tmp_path, SMALL_CONFIG.format(simulator=simulator.url)) as gateway:
                watcher = f"127.0.0.1:{alertmanager.port}"
                target = f"127.0.0.1:{gateway.port}"
                with Prometheus(tmp_path, target, "wrong", alertmanager=watcher) as prometheus:
                    until("the target is down", lambda: prometheus.value('up{job="gatewayz_local"}') == 0, 30)
                    _, _, body = fetch(f"{prometheus.url}/api/v1/targets?scrapePool=gatewayz_local")
                    (down,) = json.loads(body)["data"]["activeTargets"]
                    assert "401 Unauthorized" in down["lastError"]
                    (page,) = until("the page", lambda: webhook.alerts("GatewayAbsent", "firing")[:1], 240)
                    assert page["annotations"]["runbook_url"] == "http://runbooks.test/GatewayAbsent.md"
                    assert page["annotations"]["dashboard_url"] == "http://grafana.test/d/models-monitoring"
                    assert page["labels"]["environment"] == "test"
                    assert not {"grafana_url", "runbooks_url"} & set(page["labels"])
                    assert "GatewayTargetDown" in prometheus.firing()
                    assert not webhook.alerts("GatewayTargetDown", "firing"), "GatewayAbsent says it all"
