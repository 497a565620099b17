"""Queries that stand in several panels. `MODEL`, `PROVIDER` and `JOB` follow the variables of the dashboard."""

from __future__ import annotations

MODEL = 'job=~"$job", model=~"$model"'
PROVIDER = 'job=~"$job", provider=~"$provider"'
JOB = 'job=~"$job"'


def rate(counter, by, selector):
    return f"sum by ({by}) (rate({counter}{{{selector}}}[$__rate_interval]))"


def quantile(q, histogram, by, selector):
    """Only where there was something: a quantile of nothing is NaN."""
    value = f"histogram_quantile({q}, {rate(histogram + '_bucket', by + ', le', selector)})"
    return f"{value}\n  and on ({by}) {rate(histogram + '_count', by, selector)} > 0"
