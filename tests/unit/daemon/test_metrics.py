"""The relay's figures as Prometheus reads them."""

from __future__ import annotations

import platform
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.daemon.metrics import CONTENT_TYPE, MetricsObserver
from relay.outcomes import Outcome
from relay.statistics import RelayStatistics
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

NOTHING = RelayStatistics(requests_refused={}, pairs_ended={})
MUCH = RelayStatistics(
    pairs=5,
    waiting=2,
    connections=9,
    draining=True,
    connections_accepted=100,
    requests_refused={(409, "pair is full"): 3, (400, "missing or invalid pair code"): 1},
    pairs_ended={Outcome.CLOSED: 40, Outcome.EXPIRED: 2},
    bytes=(1 << 40, 70),
    messages=(12, 3),
    text_messages_dropped=(0, 1),
    takeover_checks=6,
    evictions=4,
    tls_handshakes_failed={"plain_http": 7},
)


def observer(statistics: RelayStatistics = NOTHING) -> MetricsObserver:
    """Return an observer of a relay with these statistics."""
    return MetricsObserver(lambda: statistics, version="1.0")


def samples(metrics: MetricsObserver) -> Samples:
    """Return every sample that a scrape finds, by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    """Return the value of a sample of the relay's."""
    return found[f"arc_relay_{name}", frozenset(labels.items())]


def test_what_there_is_now() -> None:
    """Gauges are the statistics at the moment of the scrape."""
    found = samples(observer(MUCH))
    assert value(found, "pairs") == 5
    assert value(found, "waiting") == 2
    assert value(found, "connections") == 9
    assert value(found, "draining") == 1


def test_what_there_has_been() -> None:
    """Counters are the statistics since the start, exactly."""
    found = samples(observer(MUCH))
    assert value(found, "connections_accepted_total") == 100
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
    """A rate over an outcome that is new would miss its first pair."""
    none, some = samples(observer()), samples(observer(MUCH))
    for outcome in Outcome:
        assert value(none, "pairs_ended_total", outcome=outcome.label) == 0
        expected = MUCH.pairs_ended.get(outcome, 0)
        assert value(some, "pairs_ended_total", outcome=outcome.label) == expected


def test_every_kind_of_failed_handshake_is_there_from_the_start() -> None:
    """A rate over a kind that is new would miss its first handshake."""
    none, some = samples(observer()), samples(observer(MUCH))
    for kind in TlsFailure:
        assert value(none, "tls_handshakes_failed_total", kind=kind.value) == 0
        expected = 7 if kind is TlsFailure.PLAIN_HTTP else 0
        assert value(some, "tls_handshakes_failed_total", kind=kind.value) == expected


def test_statistics_are_read_once_a_scrape() -> None:
    """Nothing is read before a scrape, and all of one scrape is from one snapshot."""
    calls = []

    def statistics() -> RelayStatistics:
        calls.append(1)
        return RelayStatistics(pairs=len(calls), requests_refused={}, pairs_ended={})

    metrics = MetricsObserver(statistics, version="1.0")
    metrics.on_event(JOINED)
    assert not calls
    assert value(samples(metrics), "pairs") == 1
    assert value(samples(metrics), "pairs") == 2


def test_histograms() -> None:
    """Joined pairs are in the histograms: waiting at the joining, the rest at the end."""
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


def test_a_registry_of_its_own() -> None:
    """Two relays in a process do not add up, and nothing but the relay's figures is shown."""
    first, second = observer(), observer()
    first.on_event(JOINED)
    assert value(samples(second), "time_to_pair_seconds_count") == 0
    assert all(name.startswith(("arc_relay_", "process_")) for name, _ in samples(first))
    assert not any(name.endswith("_created") for name, _ in samples(first))


def test_no_canary() -> None:
    """No address and no hash of a code gets into a metric or a representation."""
    metrics = observer(MUCH)
    for event in EVERY_EVENT:
        metrics.on_event(event)
    shown = metrics.render().decode() + repr(metrics)
    assert not any(canary in shown for canary in ("192.0.2", "2001:db8", "5f3a91c2", "0badc0de"))
    labels = {label for _, labels in samples(metrics) for label, _ in labels}
    assert labels == {"kind", "le", "outcome", "python", "reason", "side", "status", "version"}


def test_promtool() -> None:
    """Prometheus's own linter finds nothing wrong."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    metrics = observer(MUCH)
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
    """The figures are in the text format that every Prometheus reads."""
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    assert observer().render().startswith(b"# HELP arc_relay_")
