"""The row about the keys of clients, and about the Redis that keeps their limits."""

from __future__ import annotations

from panels import graph, stacked, thresholds
from queries import JOB, rate

WITH_REDIS = "Nothing unless limits.backend is redis."
BY_KEY = "Nothing unless metrics.per_key is true."


def keys_and_limits():
    of_keys = f'{JOB}, reason=~"auth|permission|rate_limit|budget"'
    yield stacked(
        graph(
            "Keys turned away by reason",
            "Requests per second without a key that is known (auth), for what the key may not have (permission), above "
            "its rates or its concurrent requests (rate_limit), or with its money spent (budget).",
            "reqps",
            (rate("gateway_rejected_requests_total", "reason", of_keys), "{{reason}}"),
            width=8,
        )
    )
    up = graph(
        "Redis answers",
        f"1, or 0 while a replica does without the Redis that keeps the limits over all replicas. {WITH_REDIS}",
        "none",
        (f"gateway_limits_backend_up{{{JOB}}}", "{{instance}}"),
        calcs=("lastNotNull", "min"),
        width=8,
        runbook="GatewayLimitsBackendDown",
    )
    up["fieldConfig"]["defaults"]["max"] = 1
    yield conditional(up, WITH_REDIS)
    failures = graph(
        "Calls to Redis that failed",
        f"Per second, with those not answered within 10 ms. The alert is at three a minute, 0.05. {WITH_REDIS}",
        "ops",
        (f"rate(gateway_limits_backend_failures_total{{{JOB}}}[$__rate_interval])", "{{instance}}"),
        width=8,
        runbook="GatewayLimitsBackendDown",
    )
    yield conditional(thresholds(failures, ("green", "red"), 0.05), WITH_REDIS)

    requests = rate("gateway_key_requests_total", "key", JOB)
    by_key = [
        ("Requests by key", "Requests per second that have ended.", "reqps", requests, None),
        (
            "Failed requests by key",
            "Share of a key's requests that failed because of the gateway or a provider, for keys with requests.",
            "percent",
            f"100 * {rate('gateway_key_errors_total', 'key', JOB)}\n  / ({requests} > 0)",
            "model-fails",
        ),
        (
            "Tokens by key",
            "Tokens per second of all kinds.",
            "short",
            rate("gateway_key_tokens_total", "key", JOB),
            "TokenSpendSpike",
        ),
        (
            "Cost per hour by key",
            "US dollars an hour at the present pace.",
            "currencyUSD",
            f"3600 * {rate('gateway_key_cost_usd_total', 'key', JOB)}",
            "TokenSpendSpike",
        ),
    ]
    for title, description, unit, expr, runbook in by_key:
        made = graph(title, f"{description} {BY_KEY}", unit, (expr, "{{key}}"), width=6, runbook=runbook)
        yield conditional(made, BY_KEY)


def conditional(made, condition):
    """Says what it takes where there is nothing to show."""
    made["fieldConfig"]["defaults"]["noValue"] = condition
    return made
