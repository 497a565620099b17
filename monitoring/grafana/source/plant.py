"""The rows about what stands behind the requests: providers, the process, the scrape."""

from __future__ import annotations

from panels import GREEN_YELLOW_RED, graph, stacked, stat, table, thresholds
from queries import JOB, MODEL, PROVIDER, quantile, rate


def providers():
    yield stacked(
        graph(
            "Calls by outcome",
            "Calls to providers per second. client_error is a 4xx: a request that the provider does not take, or our "
            "account.",
            "reqps",
            (rate("gateway_provider_requests_total", "provider, outcome", PROVIDER), "{{provider}} {{outcome}}"),
            width=8,
            runbook="ProviderDown",
        )
    )
    calls = rate("gateway_provider_requests_total", "provider", PROVIDER)
    bad = 'outcome=~"rate_limited|server_error|timeout|connect|invalid_response"'
    failed = rate("gateway_provider_requests_total", "provider", f"{PROVIDER}, {bad}")
    yield thresholds(
        graph(
            "Calls that failed",
            "Share of the calls that ended with a 429, a server error, a time-out, no connection or a broken answer.",
            "percent",
            (f"100 * {failed}\n  / ({calls} > 0)", "{{provider}}"),
            width=8,
            runbook="provider-account",
        ),
        GREEN_YELLOW_RED,
        5,
        50,
    )
    yield graph(
        "Time to the head of the answer p95",
        "Seconds until the provider's status line.",
        "s",
        (quantile("0.95", "gateway_provider_latency_seconds", "provider", PROVIDER), "{{provider}}"),
        width=8,
    )
    yield graph(
        "Open calls",
        "Calls to a provider that are open now.",
        "short",
        (f"sum by (provider) (gateway_provider_inflight{{{PROVIDER}}})", "{{provider}}"),
        width=8,
    )
    yield graph(
        "Wait for a turn p95",
        "Seconds that a request waits because the provider's max_concurrent is reached. The alert is at 2 s.",
        "s",
        (quantile("0.95", "gateway_provider_queue_wait_seconds", "provider", PROVIDER), "{{provider}}"),
        width=8,
        runbook="ProviderQueueSlow",
    )
    yield graph(
        "Retries by reason",
        "Calls per second that were made again with the same provider.",
        "reqps",
        (rate("gateway_retries_total", "provider, reason", PROVIDER), "{{provider}} {{reason}}"),
        width=8,
    )
    yield graph(
        "Refused for our account",
        "Calls per second that a provider refused because of our key or credit there.",
        "reqps",
        (rate("gateway_provider_account_refusals_total", "provider", PROVIDER), "{{provider}}"),
        width=8,
        runbook="ProviderAccountRefused",
    )
    yield graph(
        "Fallbacks",
        "Times per second that a request went on to the next provider because one failed.",
        "reqps",
        (rate("gateway_fallbacks_total", "from, to", JOB), "{{from}} to {{to}}"),
        width=8,
        runbook="ProviderDown",
    )
    state = f'gateway_circuit_state{{{PROVIDER}, model=~"$model"}}'
    circuits = graph(
        "Circuits",
        "0 closed, 1 half-open, 2 open. One line for each provider, the worst of its models, and one for each model "
        "that had its circuit open within the hour.",
        "none",
        (f"max by (provider) ({state})", "{{provider}}"),
        (
            f"max by (provider, model) ({state})\n"
            f"  and on (provider, model) max by (provider, model) (max_over_time({state}[1h])) == 2",
            "{{provider}} {{model}}",
        ),
        width=8,
        runbook="ProviderCircuitOpen",
    )
    circuits["fieldConfig"]["defaults"]["max"] = 2
    yield circuits
    yield graph(
        "Left of the rate limit",
        "What is left of a provider's rate limit, as its last answer said. Empty for a provider that does not say.",
        "short",
        (f"min by (provider, kind) (gateway_ratelimit_remaining{{{PROVIDER}}})", "{{provider}} {{kind}}"),
        calcs=("lastNotNull", "min"),
        width=8,
        runbook="ProviderRateLimitNearlySpent",
    )


def saturation():
    yield graph(
        "Time spent here p95",
        "The part of a successful request that was not spent waiting for the provider. The alert is at 20 ms.",
        "s",
        (quantile("0.95", "gateway_overhead_seconds", "job", JOB), "{{job}}"),
        width=8,
        runbook="GatewaySaturated",
    )
    yield stacked(
        graph(
            "Open requests",
            "Requests that are open now, by model.",
            "short",
            (f"sum by (model) (gateway_inflight_requests{{{MODEL}}})", "{{model}}"),
            width=8,
        )
    )
    yield graph(
        "CPU",
        "Cores in use, by replica.",
        "short",
        (f"rate(process_cpu_seconds_total{{{JOB}}}[$__rate_interval])", "{{instance}}"),
        width=8,
    )
    yield graph(
        "Memory",
        "Resident (what counts) and virtual memory, by replica.",
        "bytes",
        (f"process_resident_memory_bytes{{{JOB}}}", "{{instance}} resident"),
        (f"process_virtual_memory_bytes{{{JOB}}}", "{{instance}} virtual"),
        width=8,
    )
    yield thresholds(
        graph(
            "File descriptors",
            "Share of those that the process may have. Every open request takes two. The alert is at 80 %.",
            "percent",
            (f"100 * process_open_fds{{{JOB}}} / process_max_fds{{{JOB}}}", "{{instance}}"),
            width=8,
            runbook="GatewayFileDescriptorsLow",
        ),
        ("green", "red"),
        80,
    )
    yield graph(
        "Threads",
        "Threads of the process, by replica.",
        "short",
        (f"process_threads{{{JOB}}}", "{{instance}}"),
        width=8,
    )


def scrape():
    gateways = stat(
        "Gateways that can be scraped",
        "Replicas that are up, and that are not.",
        "short",
        (f"count(up{{{JOB}}} == 1) or vector(0)", "up"),
        (f"count(up{{{JOB}}} == 0) or vector(0)", "down"),
        width=4,
        height=6,
        runbook="GatewayAbsent",
    )
    steps = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
    gateways["fieldConfig"]["overrides"].append(
        {
            "matcher": {"id": "byName", "options": "down"},
            "properties": [{"id": "thresholds", "value": {"mode": "absolute", "steps": steps}}],
        }
    )
    yield gateways
    yield stat(
        "Streams out of order",
        "Streams in which the gateway broke the order of events since it was started. Anything but 0 is a bug.",
        "short",
        (f"sum(gateway_streams_out_of_order_total{{{JOB}}})", "streams"),
        colours=("green", "red"),
        bounds=(1,),
        width=4,
        height=6,
        runbook="GatewayStreamOrderBroken",
    )
    yield table(
        "What is running",
        "Version, commit and replica of every gateway. Several replicas under one instance are mixed: see the runbook.",
        "short",
        f"gateway_build_info{{{JOB}}}",
        hidden=("Value", "job"),
        width=8,
        height=6,
        runbook="replicas-mixed",
    )
    yield graph(
        "Uptime",
        "Since the start of each replica. A line that jumps up and down: several replicas behind one address.",
        "s",
        (f"time() - process_start_time_seconds{{{JOB}}}", "{{instance}}"),
        width=8,
        height=6,
        runbook="ReplicasMixed",
    )
    yield graph(
        "Length of a scrape",
        "Seconds for one scrape of each gateway; at 10 s it is given up.",
        "s",
        (f"scrape_duration_seconds{{{JOB}}}", "{{instance}}"),
        width=8,
        height=6,
        runbook="no-data-in-panels",
    )
    yield graph(
        "Samples of a scrape",
        "A scrape with more than 50,000 is refused.",
        "short",
        (f"scrape_samples_scraped{{{JOB}}}", "{{instance}}"),
        width=8,
        height=6,
        runbook="no-data-in-panels",
    )
    yield table(
        "Alerts",
        "What fires now or is about to. The Watchdog always does, by design.",
        "short",
        'ALERTS{alertstate=~"firing|pending"}',
        hidden=("Value", "environment", "component"),
        width=8,
        height=6,
    )
