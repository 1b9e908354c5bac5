"""Limits on connections and attempts of one client, and on the memory for them."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.limits import per_client
from relay.limits.per_client import MAX_CLIENTS, ClientLimits
from relay.limits.reason import Reason, Refusal

TOO_MANY = Reason.TOO_MANY_CONNECTIONS
TOO_OFTEN = Reason.TOO_MANY_ATTEMPTS


def admitted(limits: ClientLimits, client: str, now: float) -> bool:
    """Return True if a client is admitted."""
    return limits.acquire(client, now) is None


def test_limits_are_off_by_default() -> None:
    """Without limits every client is admitted, and nothing is stored."""
    limits = ClientLimits()
    assert all(admitted(limits, "client", 0.0) for _ in range(1000))
    limits.release("client")
    assert len(limits) == 0


def test_connections_of_a_client() -> None:
    """A client has a number of connections at a time; one that ends makes room."""
    limits = ClientLimits(max_connections_per_client=2)
    assert [admitted(limits, "client", 0.0) for _ in range(4)] == [True, True, False, False]
    assert limits.acquire("client", 0.0) == Refusal(TOO_MANY)
    assert admitted(limits, "other", 0.0)
    limits.release("client")
    assert [admitted(limits, "client", 0.0) for _ in range(2)] == [True, False]


def test_client_without_connections_is_removed() -> None:
    """A client is removed from the table after its last connection."""
    limits = ClientLimits(max_connections_per_client=2)
    for client in ("a", "a", "b"):
        assert admitted(limits, client, 0.0)
    assert len(limits) == 2
    for client, left in (("a", 2), ("b", 1), ("a", 0)):
        limits.release(client)
        assert len(limits) == left


def test_attempts_of_a_client() -> None:
    """A client has a burst of attempts, and then one in each fraction of a minute."""
    limits = ClientLimits(max_connects_per_minute=3)
    assert [admitted(limits, "client", 100.0) for _ in range(4)] == [True, True, True, False]
    assert admitted(limits, "other", 100.0)
    assert [admitted(limits, "client", now) for now in (119.9, 120.0, 120.0)] == [
        False,
        True,
        False,
    ]
    assert [admitted(limits, "client", 161.0) for _ in range(3)] == [True, True, False]


def test_retry_time() -> None:
    """A client is told the time of its next attempt; earlier attempts do not change it."""
    limits = ClientLimits(max_connects_per_minute=2)
    assert admitted(limits, "client", 0.0)
    assert admitted(limits, "client", 10.0)
    for now in (10.0, 15.0, 29.0):
        refusal = limits.acquire("client", now)
        assert refusal is not None
        assert refusal.reason == TOO_OFTEN
        assert refusal.retry_after == pytest.approx(30 - now)
    assert admitted(limits, "client", 30.0)


def test_refused_connection_costs_an_attempt() -> None:
    """A refused connection uses an attempt, and the refusal then names the attempts."""
    limits = ClientLimits(max_connections_per_client=1, max_connects_per_minute=3)
    whys = [refusal and refusal.reason for refusal in (limits.acquire("c", 0.0) for _ in range(5))]
    assert whys == [None, TOO_MANY, TOO_MANY, TOO_OFTEN, TOO_OFTEN]
    limits.release("c")
    assert admitted(limits, "c", 20.0)


def test_full_bucket_is_removed() -> None:
    """A client is removed as soon as its bucket is full, and not before."""
    limits = ClientLimits(max_connects_per_minute=6)
    for client, now in (("a", 0.0), ("a", 0.0), ("b", 5.0)):
        assert admitted(limits, client, now)
    for now, left in ((14.9, 2), (15.0, 2), (20.0, 0), (20.0, 0)):
        limits.prune(now)
        assert len(limits) == left


def test_table_shrinks() -> None:
    """Many clients are removed while few new clients arrive."""
    limits = ClientLimits(max_connects_per_minute=60)
    for i in range(100):
        assert admitted(limits, str(i), 0.0)
    sizes = []
    for now in range(61, 170):
        assert admitted(limits, "steady", float(now))
        sizes.append(len(limits))
    assert sizes[:2] == [99, 97]
    assert sizes[-1] == 1


def test_flood_from_many_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has a bound, above which the client that was admitted longest ago is removed."""
    monkeypatch.setattr(per_client, "MAX_CLIENTS", 10)
    limits = ClientLimits(max_connects_per_minute=1)
    assert admitted(limits, "old", 0.0)
    assert admitted(limits, "new", 1.0)
    assert all(admitted(limits, str(i), 2.0) for i in range(9))
    assert len(limits) == 10
    assert not admitted(limits, "new", 3.0)
    assert admitted(limits, "old", 3.0)
    assert len(limits) == 10


def test_bound_is_out_of_reach() -> None:
    """Only over a thousand connections a second make the relay remove a client early."""
    assert MAX_CLIENTS / 60 > 1000


events = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([0.0, 0.01, 0.5, 1.0, 7.3, 59.0, 61.0]),
        st.booleans(),
    ),
    max_size=200,
)


@given(events, st.integers(0, 4), st.integers(0, 70), st.floats(0, 1e6))
@example([("a", 0.0, False)] * 2, 0, 1, 0.001)  # a minute, and not by rounding another second
def test_limits_hold(
    events: list[tuple[str, float, bool]], most: int, often: int, now: float
) -> None:
    """No client exceeds its limits, in any order of connections."""
    limits = ClientLimits(most, often)
    here = dict.fromkeys("abc", 0)
    tried: dict[str, list[float]] = {client: [] for client in "abc"}
    for client, pause, leaves in events:
        now += pause
        if leaves and here[client]:
            limits.release(client)
            here[client] -= 1
        refusal = limits.acquire(client, now)
        if refusal is None:
            here[client] += 1
        if refusal is None or refusal.reason == TOO_MANY:
            tried[client].append(now)
        else:
            assert often
            assert refusal.retry_after is not None
            again = math.ceil(refusal.retry_after)
            assert 1 <= again <= 60
        if most:
            assert here[client] <= most
            assert refusal is None or refusal.reason == TOO_OFTEN or here[client] == most
        if often:
            for i, since in enumerate(tried[client]):
                assert len(tried[client]) - i <= often + (now - since) * often / 60 + 0.001
        else:
            assert refusal is None or most
    for client, connections in here.items():
        for _ in range(connections):
            limits.release(client)
    limits.prune(now + 61)
    assert len(limits) == 0


@given(st.integers(1, 1000), st.floats(0, 1e6), st.integers(0, 50))
def test_retry_time_is_exact(often: int, now: float, early: int) -> None:
    """Exactly the burst is admitted at once, and the next attempt at the announced time."""
    limits = ClientLimits(max_connects_per_minute=often)
    for _ in range(often):
        assert admitted(limits, "client", now)
    for _ in range(3):
        refusal = limits.acquire("client", now)
        assert refusal is not None
        assert refusal.retry_after is not None
        assert refusal.retry_after == pytest.approx(60 / often, abs=1e-4)
        for _ in range(early):
            assert not admitted(limits, "client", now + refusal.retry_after * 0.9)
        now += refusal.retry_after
        assert admitted(limits, "client", now)
