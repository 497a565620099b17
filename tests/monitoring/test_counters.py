"""Counters against the truth: a load of known size gives exactly those numbers in Prometheus."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stack import SMALL_CONFIG, Gateway, Prometheus, Simulator, fetch, free_port, until


def load(gateway, plan: dict[str, int], stream: bool) -> None:
    """So many requests for each model, ten at a time, each answered to its end."""

    def ask(model):
        body = {"model": model, "max_tokens": 64, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"x-api-key": gateway.key, "content-type": "application/json"}
        return fetch(f"{gateway.url}/v1/messages", headers, json.dumps(body).encode(), timeout=30)[0]

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(ask, [model for model, number in plan.items() for _ in range(number)]))


def scraped(prometheus) -> None:
    """Waits for a scrape that began after this call."""
    asked = time.time()
    until("a scrape", lambda: (prometheus.value('timestamp(up{job="gatewayz_local"})') or 0) > asked, 30, 0.2)


@pytest.mark.long(1)
def test_a_load_of_known_size_is_counted_exactly_and_across_a_restart(binary, tmp_path):
    port = free_port()
    first = {"claude-sonnet-4-5": 120, "mistral-large": 37, "gpt-5": 11, "gemini-2.5-flash": 7, "llama-4-maverick": 5}
    second = {"claude-sonnet-4-5": 60, "mistral-large": 13, "gpt-5": 2, "llama-4-maverick": 1}
    # No credit and broken streams are errors of a model; what the provider finds invalid is the caller's.
    failing = {"gpt-5", "llama-4-maverick"}
    with Simulator(binary, tmp_path) as simulator:
        config = SMALL_CONFIG.format(simulator=simulator.url)
        with Prometheus(tmp_path, f"127.0.0.1:{port}", Gateway.metrics_token, interval="1s") as prometheus:
            with Gateway(binary, tmp_path, config, port=port) as gateway:
                scraped(prometheus)
                load(gateway, first, stream=True)
                scraped(prometheus)
                for model, number in first.items():
                    assert counted(prometheus, "model_requests_total", model) == number
                    assert counted(prometheus, "model_errors_total", model) == (number if model in failing else 0)
                assert counted(prometheus, "model_latency_ms_count", "claude-sonnet-4-5") == 120
                assert prometheus.value('gateway_errors_total{model="gpt-5",type="api_error"}') == 11
                # Whether the break comes before or after the first bytes that the client gets is up to the machine.
                assert prometheus.value('sum(gateway_errors_total{model="llama-4-maverick"})') == 5
                client_errors = 'gateway_provider_requests_total{outcome="client_error"}'
                assert prometheus.value(client_errors) == 11 + 7
                # Each answer is the same, so tokens and money are multiples of one answer's.
                tokens = counted(prometheus, "model_tokens_used_total", "claude-sonnet-4-5")
                kinds = prometheus.value('sum(gateway_tokens_total{model="claude-sonnet-4-5"})')
                assert tokens == kinds and tokens % 120 == 0 and tokens > 0
                price = {"input": 3.0, "output": 15.0}
                money = sum(
                    prometheus.value(f'gateway_tokens_total{{model="claude-sonnet-4-5",kind="{kind}"}}') * dollars / 1e6
                    for kind, dollars in price.items()
                )
                assert counted(prometheus, "gateway_cost_usd_total", "claude-sonnet-4-5") == pytest.approx(money)
            with Gateway(binary, tmp_path, config, port=port) as gateway:
                scraped(prometheus)
                load(gateway, second, stream=True)
                scraped(prometheus)
                for model in first:
                    total = first[model] + second.get(model, 0)
                    assert counted(prometheus, "model_requests_total", model) == second.get(model, 0)
                    assert across(prometheus, f'model_requests_total{{model="{model}"}}') == total
                    # Half a scrape at either end is guessed.
                    increase = prometheus.value(f'increase(model_requests_total{{model="{model}"}}[10m])')
                    assert increase == pytest.approx(total, rel=0.15, abs=0.5), model


def counted(prometheus, name, model) -> float:
    return prometheus.value(f'{name}{{model="{model}"}}')


def across(prometheus, series) -> float:
    """What a counter has counted altogether: all its steps upwards, a fall being a start from 0."""
    ((_, samples),) = ((found["metric"], found["values"]) for found in prometheus.query(f"{series}[15m]"))
    numbers = [float(value) for _, value in samples]
    assert numbers[0] == 0, "it was not there from the start"
    pairs = zip(numbers, numbers[1:], strict=False)
    return sum(later - earlier if later >= earlier else later for earlier, later in pairs)
