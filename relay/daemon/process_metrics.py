"""Metrics of the process that runs a relay: limits in force, reloads of files, lost log lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatistics:
    """Snapshot of the state of the process that runs a relay."""

    limits: Mapping[str, float] = field(default_factory=dict)
    """Limits in force, keyed by the names of their settings; limits that are off are omitted."""
    reload_failures: Mapping[str, int] = field(default_factory=dict)
    """Number of failed reloads since the start, by file."""
    reload_failed: frozenset[str] = frozenset()
    """Files whose last reload failed."""
    certificate_expiry: float | None = None
    """Expiry of the certificate in force, as a Unix time.

    None if there is no certificate or its expiry is unknown.
    """
    log_lines_lost: int = 0
    """Number of log lines lost since the start, because standard error did not accept them."""


def process_metrics(now: ProcessStatistics) -> Iterator[Metric]:
    """Yield the metrics of a snapshot."""
    for name, value in now.limits.items():
        yield GaugeMetricFamily(f"arc_relay_{name}", f"Limit {name} in force.", value=value)
    yield from reload_metrics(now)
    if now.certificate_expiry is not None:
        yield GaugeMetricFamily(
            "arc_relay_certificate_expiry_timestamp_seconds",
            "Expiry of the certificate in force, as a Unix time.",
            value=now.certificate_expiry,
        )
    yield CounterMetricFamily(
        "arc_relay_log_lines_lost",
        "Log lines that standard error did not accept.",
        value=now.log_lines_lost,
    )


def reload_metrics(now: ProcessStatistics) -> Iterator[Metric]:
    """Yield the metrics of reloads, by file."""
    failed = CounterMetricFamily(
        "arc_relay_reloads_failed", "Failed reloads on SIGHUP, by file.", labels=("file",)
    )
    last = GaugeMetricFamily(
        "arc_relay_last_reload_successful",
        "1 if the last load of a file succeeded, else 0.",
        labels=("file",),
    )
    for file, count in now.reload_failures.items():
        failed.add_metric((file,), count)
        last.add_metric((file,), file not in now.reload_failed)
    yield failed
    yield last
