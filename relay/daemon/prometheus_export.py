"""Metrics of a relay for Prometheus.

Counters and gauges are read from the statistics of the relay at scrape time. Events update the
histograms of the durations and sizes of pairs. No label holds a code or an address. Label values
are statuses, fixed reasons, outcomes, kinds of TLS failures, names of files, and the sides ``a``
and ``b``.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ..events import Event, PairEnded, PairJoined
from ..outcomes import Outcome
from ..server.statistics import RelayStatistics
from ..transport.tls_failure import TlsFailure
from .process_metrics import ProcessStatistics, process_metrics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of the text format, which every Prometheus since 2014 reads."""

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
KIB: Final = 2.0**10

# Bounds of the buckets. The waits range from a QR code that is scanned at once to the longest
# useful pair_ttl.
WAITS: Final = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 180, 240, 300, 900, HOUR)
# From a pair that a proxy closes early to a terminal session of several days. The common idle
# timeouts of proxies, 45 to 180 s, are bounds, so that the histogram shows pairs that they end.
DURATIONS: Final = (1, 10, 30, 45, 60, 90, 120, 180, 300, 900, HOUR, 4 * HOUR, DAY, 7 * DAY)
# No data, then powers of 4 from 1 KiB to 16 GiB.
SIZES: Final = (0, *(KIB * 4**power for power in range(13)))
# From a short delay to a side that reads slowly for hours. A side that reads nothing is closed
# after stall_timeout, by default 240 s.
STALLS: Final = (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 240, 300, HOUR)


class MetricsObserver:
    """Observer that keeps the metrics of one relay in a separate registry.

    ``statistics`` and ``process`` return snapshots of the relay and of its process. Each call of
    `render` takes one snapshot of each. The constructor disables the ``_created`` series of
    prometheus_client for the whole process.
    """

    def __init__(
        self,
        statistics: Callable[[], RelayStatistics],
        process: Callable[[], ProcessStatistics],
        *,
        version: str,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        registry.register(StatisticsCollector(statistics, process, version))
        self._waits = Histogram(
            "arc_relay_time_to_pair_seconds",
            "Seconds that side A of a joined pair waited for side B.",
            buckets=WAITS,
            registry=registry,
        )
        self._durations = Histogram(
            "arc_relay_pair_duration_seconds",
            "Seconds for which a pair was joined.",
            buckets=DURATIONS,
            registry=registry,
        )
        self._sizes = Histogram(
            "arc_relay_pair_bytes",
            "Bytes of the frames forwarded for a joined pair, both directions together.",
            buckets=SIZES,
            registry=registry,
        )
        self._stalls = Histogram(
            "arc_relay_pair_blocked_seconds",
            "Seconds that data of a joined pair waited for its receiver, both directions together.",
            buckets=STALLS,
            registry=registry,
        )
        ProcessCollector(registry=registry)

    def on_event(self, event: Event) -> None:
        match event:
            case PairJoined():
                self._waits.observe(event.wait_time)
            case PairEnded(joined=True):
                self._durations.observe(event.duration)
                self._sizes.observe(sum(event.bytes))
                self._stalls.observe(sum(event.blocked_time))
            case _:
                pass  # no histogram

    def render(self) -> bytes:
        """Render all metrics in the text format `CONTENT_TYPE`."""
        return generate_latest(self._registry)


class StatisticsCollector(Collector):
    """Collector that reads the statistics of a relay and of its process at scrape time."""

    def __init__(
        self,
        statistics: Callable[[], RelayStatistics],
        process: Callable[[], ProcessStatistics],
        version: str,
    ) -> None:
        self._statistics = statistics
        self._process = process
        self._about = {"version": version, "python": platform.python_version()}

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families, from one snapshot of the relay and of its process."""
        now = self._statistics()
        yield InfoMetricFamily(
            "arc_relay_build", "Version of the relay and of Python.", value=self._about
        )
        yield from gauges(now)
        yield from counters(now)
        yield from process_metrics(self._process())


def gauges(stats: RelayStatistics) -> Iterator[Metric]:
    """Yield the metrics of the current state of the relay."""
    for name, about, value in (
        ("pairs", "Codes in use, waiting or joined.", stats.pairs),
        ("waiting", "Codes with a waiting side.", stats.waiting),
        (
            "connections",
            "Open connections, including those still in their handshake or closing.",
            stats.connections,
        ),
        ("admitted", "Open connections that hold a slot of max_connections.", stats.admitted),
        ("draining", "1 if the relay has begun to stop, else 0.", stats.draining),
    ):
        yield GaugeMetricFamily(f"arc_relay_{name}", about, value=value)


def counters(stats: RelayStatistics) -> Iterator[Metric]:
    """Yield the metrics that count events since the relay started."""
    for name, about, value in (
        ("connections_accepted", "Connections accepted.", stats.connections_accepted),
        (
            "accepts_failed",
            "Failed accepts: no descriptor or memory was left, or a connection broke.",
            stats.accepts_failed,
        ),
        (
            "takeover_checks",
            "Takeover checks: pings to the sides of a code that a new client requested.",
            stats.takeover_checks,
        ),
        (
            "evictions",
            "Pairs evicted because a side did not answer a takeover check.",
            stats.evictions,
        ),
    ):
        yield CounterMetricFamily(f"arc_relay_{name}", about, value=value)
    refusals = CounterMetricFamily(
        "arc_relay_requests_refused",
        "Requests refused, by status and reason.",
        labels=("status", "reason"),
    )
    for (status, reason), count in stats.requests_refused.items():
        refusals.add_metric((str(status), reason), count)
    yield refusals
    for name, about, ended in (
        ("pairs_ended", "Joined pairs that ended, by outcome.", stats.pairs_ended),
        (
            "waiting_ended",
            "Waiting sides that ended before a peer joined them, by outcome.",
            stats.waiting_ended,
        ),
    ):
        outcomes = CounterMetricFamily(f"arc_relay_{name}", about, labels=("outcome",))
        for outcome in Outcome:
            outcomes.add_metric((outcome.label,), ended.get(outcome, 0))
        yield outcomes
    handshakes = CounterMetricFamily(
        "arc_relay_tls_handshakes_failed", "Failed TLS handshakes, by kind.", labels=("kind",)
    )
    for kind in TlsFailure:
        handshakes.add_metric((kind.value,), stats.tls_handshakes_failed.get(kind, 0))
    yield handshakes
    for name, about, (a, b) in (
        ("bytes", "Bytes of frames forwarded, by the side that sent them.", stats.bytes),
        ("messages", "Binary messages forwarded, by the side that sent them.", stats.messages),
        (
            "text_messages_dropped",
            "Text messages dropped, by the side that sent them.",
            stats.text_messages_dropped,
        ),
    ):
        family = CounterMetricFamily(f"arc_relay_{name}", about, labels=("side",))
        family.add_metric(("a",), a)
        family.add_metric(("b",), b)
        yield family
