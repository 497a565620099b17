"""The row *Models*: the eleven required panels, and next to each that can mislead one that does not.

The required ones (ids 1 to 11) have title, query, unit, thresholds and legend by contract: they carry no variable.
"""

from __future__ import annotations

from panels import GREEN_YELLOW_RED, RED_YELLOW_GREEN, bars, gauge, graph, stacked, thresholds
from queries import JOB, MODEL

ERRORS = f"sum by (model) (rate(model_errors_total{{{MODEL}}}[5m]))"
REQUESTS = f"sum by (model) (rate(model_requests_total{{{MODEL}}}[5m]))"
ERROR_RATIO = f"({ERRORS} or 0 * {REQUESTS})\n  / ({REQUESTS} > 0)"
FAMILIES = [
    ("Claude", "claude.*"),
    ("GPT", "gpt.*"),
    ("Gemini", ".*gemini.*"),
    ("Llama", ".*llama.*"),
    ("Mistral", ".*mistral.*"),
]


def share(pattern, selector=""):
    return f'sum(rate(model_requests_total{{{selector}model=~"{pattern}"}}[5m]))'


def required():
    """The eleven, and next to each that can mislead one that does not."""
    yield graph(
        "Model Request Throughput",
        "Requests that ended, per second, over the last five minutes, whatever their outcome. "
        "The first five minutes after a start show less than there is.",
        "reqps",
        ("sum by (model) (rate(model_requests_total[5m]))", "{{model}}"),
        calcs=("mean", "max"),
        number=1,
    )
    yield graph(
        "Model Token Usage Rate",
        "Tokens per second: input, cache reads, cache writes and output together. "
        "The legend's total adds up rates and is no number of tokens; *Tokens in this time* has that.",
        "short",
        ("sum by (model) (rate(model_tokens_used_total[5m]))", "{{model}}"),
        calcs=("sum",),
        number=4,
    )
    yield graph(
        "Model Average Latency",
        "Mean time to the end of a successful answer. Idle models have no value (0 / 0), which the legend shows as "
        "blank; the panel beside it leaves them out. A mean hides the slow ones: see the quantiles below.",
        "ms",
        (
            "sum by (model) (rate(model_latency_ms_sum[5m])) / sum by (model) (rate(model_latency_ms_count[5m]))",
            "{{model}}",
        ),
        calcs=("mean", "max"),
        runbook="model-is-slow",
        number=2,
    )
    yield graph(
        "Average latency of models with traffic",
        "The same without idle models, for the models chosen above.",
        "ms",
        (
            f"sum by (model) (rate(model_latency_ms_sum{{{MODEL}}}[5m]))\n"
            f"  / (sum by (model) (rate(model_latency_ms_count{{{MODEL}}}[5m])) > 0)",
            "{{model}}",
        ),
        calcs=("mean", "max"),
        runbook="model-is-slow",
    )
    yield thresholds(
        graph(
            "Model Error Rate",
            "Share of the requests that failed because of the gateway or a provider; a client's mistakes and hang-ups "
            "are no errors. Idle models have no value (0 / 0); the panel beside it leaves them out.",
            "percent",
            (
                "sum by (model) (rate(model_errors_total[5m])) / sum by (model) (rate(model_requests_total[5m])) * 100",
                "{{model}}",
            ),
            calcs=("mean", "max"),
            runbook="ModelErrorBudgetBurnFast",
            number=3,
        ),
        GREEN_YELLOW_RED,
        5,
        10,
    )
    yield thresholds(
        graph(
            "Error rate of models with traffic",
            "The same without idle models, for the models chosen above; 0 where nothing failed.",
            "percent",
            (f"100 * {ERROR_RATIO}", "{{model}}"),
            calcs=("lastNotNull", "max"),
            runbook="model-fails",
        ),
        GREEN_YELLOW_RED,
        5,
        10,
    )
    yield thresholds(
        graph(
            "Model Availability",
            "Share of the requests that did not fail. Idle models have no value (0 / 0); the panel beside it leaves "
            "them out.",
            "percent",
            (
                "sum by (model) ((sum by (model) (rate(model_requests_total[5m])) - sum by (model) "
                "(rate(model_errors_total[5m]))) / sum by (model) (rate(model_requests_total[5m]))) * 100",
                "{{model}}",
            ),
            calcs=("mean", "min"),
            runbook="ModelErrorBudgetBurnSlow",
            minimum=None,
            number=11,
        ),
        RED_YELLOW_GREEN,
        95,
        99,
    )
    yield thresholds(
        graph(
            "Availability of models with traffic",
            "The same without idle models, for the models chosen above; 100 where nothing failed. The objective is "
            "99 %.",
            "percent",
            (f"100 * (1 - {ERROR_RATIO})", "{{model}}"),
            calcs=("lastNotNull", "min"),
            runbook="model-fails",
            minimum=None,
        ),
        RED_YELLOW_GREEN,
        95,
        99,
    )
    for number, (name, pattern) in enumerate(FAMILIES, start=5):
        yield thresholds(
            gauge(
                f"{name} Models %",
                f"Share of all requests that went to models called {pattern}. The five shares add up to 100 at most, "
                "so at most one of them can be green: a red one is no fault. The chart beside them has no such "
                "colours.",
                "percent",
                f"{share(pattern)} / sum(rate(model_requests_total[5m])) * 100",
                width=3,
                height=7,
                number=number,
            ),
            RED_YELLOW_GREEN,
            50,
            80,
        )
    known = "|".join(pattern for _, pattern in FAMILIES)
    all_requests = f"(sum(rate(model_requests_total{{{JOB}}}[5m])) > 0)"
    families = [
        (f"100 * ({share(pattern, JOB + ', ')} or vector(0)) / {all_requests}", name) for name, pattern in FAMILIES
    ]
    others = f'sum(rate(model_requests_total{{{JOB}, model!~"{known}"}}[5m]))'
    shares = stacked(
        graph(
            "Shares of the families",
            "The same five shares and the rest, without judging them. Empty without traffic.",
            "percent",
            *families,
            (f"100 * ({others} or vector(0)) / {all_requests}", "others"),
            calcs=("lastNotNull", "mean"),
            width=9,
            height=7,
        )
    )
    shares["fieldConfig"]["defaults"]["max"] = 100
    shares["options"]["legend"]["placement"] = "right"
    yield shares
    yield bars(
        graph(
            "Hourly Request Distribution",
            "Requests of the hour before each point. The hours of neighbouring points overlap, so the legend's total "
            "counts a request many times; the panel beside it has hours that do not overlap.",
            "short",
            ("sum by (model) (increase(model_requests_total[1h]))", "{{model}}"),
            calcs=("sum",),
            number=10,
        )
    )
    hourly = bars(
        graph(
            "Requests by hour",
            "One bar for each whole hour of the last day, at its end, for the models chosen above. The legend has the "
            "last hour and the busiest one.",
            "short",
            (f"sum by (model) (increase(model_requests_total{{{MODEL}}}[1h]))", "{{model}}"),
            calcs=("lastNotNull", "max"),
        )
    )
    yield hourly | {"interval": "1h", "timeFrom": "24h"}
