"""Statistics of the relay as Prometheus reads them."""

from __future__ import annotations

import math
import platform
import resource
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.daemon.process_metrics import ProcessStatistics
from relay.daemon.prometheus_export import CONTENT_TYPE, MetricsObserver
from relay.outcomes import Outcome
from relay.server.statistics import RelayStatistics
from relay.transport.tls_failure import TlsFailure
from tests.support.recorded_events import (
    ALONE,
    ENDED,
    EVERY_EVENT,
    JOINED,
    PROBED,
    REFUSED,
    STOPPING,
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

NOTHING = RelayStatistics()
MUCH = RelayStatistics(
    pairs=5,
    waiting=2,
    connections=9,
    admitted=8,
    draining=True,
    connections_accepted=100,
    accepts_failed=11,
    requests_refused={(409, "pair is full"): 3, (400, "missing or invalid pair code"): 1},
    pairs_ended={Outcome.CLOSED: 40, Outcome.STOPPED: 2},
    waiting_ended={Outcome.EXPIRED: 5, Outcome.CLOSED: 1},
    bytes=(1 << 40, 70),
    messages=(12, 3),
    text_messages_dropped=(0, 1),
    takeover_checks=6,
    evictions=4,
    tls_handshakes_failed={"plain_http": 7},
)
BARE = ProcessStatistics(reload_failures={"certificate": 0, "token": 0})
BUSY = ProcessStatistics(
    limits={"max_connections": 900, "max_connects_per_minute": 60, "max_pair_seconds": 0.5},
    reload_failures={"certificate": 2, "token": 3},
    reload_failed=frozenset({"token"}),
    certificate_expiry=1_900_000_000.0,
    log_lines_lost=17,
)


def observer(
    statistics: RelayStatistics = NOTHING, process: ProcessStatistics = BARE
) -> MetricsObserver:
    """Return an observer of a relay with these statistics."""
    return MetricsObserver(lambda: statistics, lambda: process, version="1.0")


def samples(metrics: MetricsObserver) -> Samples:
    """Return every sample of a scrape by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """Return the value of a sample of the relay."""
    return found[f"arc_relay_{name}", frozenset(labels.items())]


def test_gauges() -> None:
    """Gauges have the statistics at the moment of the scrape."""
    found = samples(observer(MUCH))
    assert value(found, "pairs") == 5
    assert value(found, "waiting") == 2
    assert value(found, "connections") == 9
    assert value(found, "admitted") == 8
    assert value(found, "draining") == 1


def test_counters() -> None:
    """Counters have the statistics since the start, exactly."""
    found = samples(observer(MUCH))
    assert value(found, "connections_accepted_total") == 100
    assert value(found, "accepts_failed_total") == 11
    assert value(found, "takeover_checks_total") == 6
    assert value(found, "evictions_total") == 4
    assert value(found, "requests_refused_total", status="409", reason="pair is full") == 3
    assert (
        value(found, "requests_refused_total", status="400", reason="missing or invalid pair code")
        == 1
    )
    for name, (a, b) in {
        "bytes_total": (1 << 40, 70),
        "messages_total": (12, 3),
        "text_messages_dropped_total": (0, 1),
    }.items():
        assert value(found, name, side="a") == a
        assert value(found, name, side="b") == b


def test_every_outcome_is_there_from_the_start() -> None:
    """Every outcome has a series from the start, so that a rate includes its first pair."""
    none, some = samples(observer()), samples(observer(MUCH))
    for outcome in Outcome:
        for name, counts in (
            ("pairs_ended_total", MUCH.pairs_ended),
            ("waiting_ended_total", MUCH.waiting_ended),
        ):
            assert value(none, name, outcome=outcome.label) == 0
            assert value(some, name, outcome=outcome.label) == counts.get(outcome, 0)


def test_every_kind_of_failed_handshake_is_there_from_the_start() -> None:
    """Every kind of failed handshake has a series from the start."""
    none, some = samples(observer()), samples(observer(MUCH))
    for kind in TlsFailure:
        assert value(none, "tls_handshakes_failed_total", kind=kind.value) == 0
        expected = 7 if kind is TlsFailure.PLAIN_HTTP else 0
        assert value(some, "tls_handshakes_failed_total", kind=kind.value) == expected


def test_statistics_are_read_once_a_scrape() -> None:
    """A scrape takes one snapshot, and no snapshot is taken before."""
    calls = []

    def statistics() -> RelayStatistics:
        calls.append(1)
        return RelayStatistics(pairs=len(calls))

    metrics = MetricsObserver(statistics, lambda: BARE, version="1.0")
    metrics.on_event(JOINED)
    assert not calls
    assert value(samples(metrics), "pairs") == 1
    assert value(samples(metrics), "pairs") == 2


def test_histograms() -> None:
    """Joined pairs are in the histograms: the wait when they join, the rest at their end."""
    metrics = observer()
    metrics.on_event(JOINED)
    found = samples(metrics)
    assert value(found, "time_to_pair_seconds_bucket", le="2.0") == 0
    assert value(found, "time_to_pair_seconds_bucket", le="5.0") == 1
    assert value(found, "time_to_pair_seconds_sum") == 2.5
    assert value(found, "pair_duration_seconds_count") == 0
    metrics.on_event(ENDED)
    found = samples(metrics)
    assert value(found, "time_to_pair_seconds_count") == 1
    assert value(found, "pair_duration_seconds_bucket", le="60.0") == 0
    assert value(found, "pair_duration_seconds_bucket", le="300.0") == 1
    assert value(found, "pair_bytes_sum") == 3070
    assert value(found, "pair_bytes_bucket", le="1024.0") == 0
    assert value(found, "pair_bytes_bucket", le="16384.0") == 1
    assert value(found, "pair_blocked_seconds_sum") == 1.25


@pytest.mark.parametrize(("timeout", "following"), [*pairwise([45, 60, 90, 120, 180, 300])])
def test_durations_of_idle_timeouts(timeout: int, following: int) -> None:
    """The pairs that an idle timeout of a proxy ends are in a bucket of their own."""
    metrics = observer()
    metrics.on_event(replace(ENDED, duration=timeout + 0.1))
    found = samples(metrics)
    assert value(found, "pair_duration_seconds_bucket", le=f"{timeout}.0") == 0
    assert value(found, "pair_duration_seconds_bucket", le=f"{following}.0") == 1


def test_sizes() -> None:
    """The bounds of the bytes of a pair are 0, 1 KiB, and so on by factors of 4 to 16 GiB."""
    found = [
        labels for name, labels in samples(observer()) if name == "arc_relay_pair_bytes_bucket"
    ]
    bounds = sorted(float(le) for labels in found for _, le in labels)
    assert bounds == [0, *(1024 * 4**power for power in range(13)), math.inf]
    assert bounds[-2] == 16 << 30


def test_the_process_around_the_relay() -> None:
    """A scrape has the limits in force, the results of reloads, the certificate and lost lines."""
    found = samples(observer(process=BUSY))
    assert value(found, "max_connections") == 900
    assert value(found, "max_connects_per_minute") == 60
    assert value(found, "max_pair_seconds") == 0.5
    assert value(found, "certificate_expiry_timestamp_seconds") == 1_900_000_000
    assert value(found, "log_lines_lost_total") == 17
    for file, count, successful in (("certificate", 2, 1), ("token", 3, 0)):
        assert value(found, "reloads_failed_total", file=file) == count
        assert value(found, "last_reload_successful", file=file) == successful


def test_absent_series() -> None:
    """A limit that is off has no series, nor has the certificate of a relay without TLS."""
    names = {name for name, _ in samples(observer())}
    assert "arc_relay_certificate_expiry_timestamp_seconds" not in names
    assert not any(name.startswith("arc_relay_max_") for name in names)


def test_what_is_counted_elsewhere() -> None:
    """Other events, such as the expiry of a waiting side, change no histogram."""
    metrics = observer()
    for event in (ALONE, REFUSED, PROBED, STOPPING):
        metrics.on_event(event)
    counts = {
        name: number
        for (name, _), number in samples(metrics).items()
        if name.startswith("arc_relay_") and name.endswith("_count")
    }
    assert len(counts) == 4
    assert set(counts.values()) == {0}


def test_the_process_and_the_build() -> None:
    """A scrape has the versions, and the resources of the process."""
    found = samples(observer())
    assert value(found, "build_info", version="1.0", python=platform.python_version()) == 1
    assert found["process_resident_memory_bytes", frozenset()] > 1 << 20
    assert found["process_open_fds", frozenset()] >= 3
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert found["process_max_fds", frozenset()] == limit


def test_a_registry_of_its_own() -> None:
    """Two relays in one process have separate statistics, and only series of the relay."""
    first, second = observer(), observer()
    first.on_event(JOINED)
    assert value(samples(second), "time_to_pair_seconds_count") == 0
    assert all(name.startswith(("arc_relay_", "process_")) for name, _ in samples(first))
    assert not any(name.endswith("_created") for name, _ in samples(first))


def test_no_canary() -> None:
    """No address and no hash of a code is in a metric or a representation."""
    metrics = observer(MUCH, BUSY)
    for event in EVERY_EVENT:
        metrics.on_event(event)
    shown = metrics.render().decode() + repr(metrics)
    assert not any(
        canary in shown for canary in ("192.0.2", "2001:db8", "5f3a91c2d4", "0badc0de77")
    )
    labels = {label for _, labels in samples(metrics) for label, _ in labels}
    assert labels == {
        "file",
        "kind",
        "le",
        "outcome",
        "python",
        "reason",
        "side",
        "status",
        "version",
    }


def test_promtool() -> None:
    """The linter of Prometheus, promtool, finds no fault."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    metrics = observer(MUCH, BUSY)
    for event in EVERY_EVENT:
        metrics.on_event(event)
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=metrics.render(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_content_type() -> None:
    """The content type is the text format that every Prometheus reads."""
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    assert observer().render().startswith(b"# HELP arc_relay_")
