"""The rows about requests: their latency, their outcomes, their tokens and what they cost."""

from __future__ import annotations

from panels import graph, heatmap, stacked, stat, table, thresholds
from queries import JOB, MODEL, PROVIDER, quantile, rate


def latency():
    for q, name in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99")):
        yield graph(
            f"Latency {name}",
            f"Time to the end of an answer, {name}, successful requests only. The buckets make it right within 8 %.",
            "ms",
            (quantile(q, "model_latency_ms", "model", MODEL), "{{model}}"),
            width=8,
            runbook="model-is-slow",
        )
    yield heatmap(
        "Answers by latency",
        "How many answers took how long, all chosen models together, per second.",
        "ms",
        f"sum by (le) (rate(model_latency_ms_bucket{{{MODEL}}}[$__rate_interval]))",
        width=8,
    )
    yield thresholds(
        graph(
            "Time to first token p95",
            "From the request read to the first content of a stream. The alert is at 10 s.",
            "s",
            (quantile("0.95", "gateway_time_to_first_token_seconds", "model", MODEL), "{{model}}"),
            width=8,
            runbook="ModelFirstTokenSlow",
        ),
        ("green", "red"),
        10,
    )
    yield graph(
        "Time per output token p95",
        "Seconds for each output token of a stream after the first: the inverse of its speed.",
        "s",
        (quantile("0.95", "gateway_time_per_output_token_seconds", "model", MODEL), "{{model}}"),
        width=8,
        runbook="model-is-slow",
    )


def outcomes():
    yield stacked(
        graph(
            "Failed requests by type",
            "Failures per second by Anthropic's type of error; stream_interrupted: the answer broke off in the middle.",
            "reqps",
            (rate("gateway_errors_total", "type", MODEL), "{{type}}"),
            width=8,
            runbook="ModelAnswersTruncated",
        )
    )
    yield stacked(
        graph(
            "Requests turned away by reason",
            "Requests per second that never reached a model, or that the gateway refused. No errors of a model.",
            "reqps",
            (rate("gateway_rejected_requests_total", "reason", JOB), "{{reason}}"),
            width=8,
        )
    )
    yield graph(
        "Clients that hung up",
        "Requests per second whose client was gone before the end of the answer.",
        "reqps",
        (rate("gateway_cancelled_requests_total", "model", MODEL), "{{model}}"),
        width=8,
    )
    yield graph(
        "Fields left out",
        "Fields of requests that the provider cannot take, per second.",
        "ops",
        (rate("gateway_translation_dropped_total", "field", JOB), "{{field}}"),
        width=8,
    )
    yield stacked(
        graph(
            "HTTP requests by status",
            "Everything that was asked of the gateway, scrapes and health checks too.",
            "reqps",
            (rate("gateway_http_requests_total", "status", JOB), "{{status}}"),
            width=8,
        )
    )
    yield graph(
        "HTTP duration p95 by endpoint",
        "Until the head of the answer is ready; a stream goes on after that.",
        "s",
        (quantile("0.95", "gateway_http_request_duration_seconds", "endpoint", JOB), "{{endpoint}}"),
        width=8,
    )


def tokens_and_cost():
    yield stacked(
        graph(
            "Tokens by kind",
            "Tokens per second; the kinds do not overlap.",
            "short",
            (rate("gateway_tokens_total", "kind", MODEL), "{{kind}}"),
            width=8,
        )
    )
    yield table(
        "Tokens in this time",
        "Tokens of each model within the time range chosen above, restarts accounted for.",
        "short",
        f"sum by (model) (increase(model_tokens_used_total{{{MODEL}}}[$__range])) > 0",
        width=8,
    )
    yield graph(
        "Reasoning tokens",
        "Output tokens per second that were spent on reasoning; a part of output.",
        "short",
        (rate("gateway_reasoning_tokens_total", "model", MODEL), "{{model}}"),
        width=8,
    )
    yield graph(
        "Cost per hour by model",
        "US dollars an hour at the present pace: the provider's figure where it sends one, else the catalog's prices. "
        "A model without either costs 0 here.",
        "currencyUSD",
        (f"3600 * {rate('gateway_cost_usd_total', 'model', MODEL)}", "{{model}}"),
        width=8,
        runbook="TokenSpendSpike",
    )
    yield graph(
        "Cost per hour by provider",
        "The same by provider.",
        "currencyUSD",
        (f"3600 * {rate('gateway_cost_usd_total', 'provider', PROVIDER)}", "{{provider}}"),
        width=4,
        runbook="TokenSpendSpike",
    )
    yield table(
        "Cost per thousand requests",
        "US dollars, over the time range chosen above, for models with requests.",
        "currencyUSD",
        f"1000 * sum by (model) (increase(gateway_cost_usd_total{{{MODEL}}}[$__range]))\n"
        f"  / (sum by (model) (increase(model_requests_total{{{MODEL}}}[$__range])) > 0)",
        width=8,
    )
    yield stat(
        "Who counted the tokens",
        "Requests within the time range chosen above: tokens as the provider said, or as the gateway estimated.",
        "short",
        (f"sum by (source) (increase(gateway_token_counts_total{{{JOB}}}[$__range]))", "{{source}}"),
        width=4,
    )
