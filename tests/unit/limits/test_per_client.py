"""Limits on connections and attempts of one client, and on the memory for them."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.limits import per_client
from relay.limits.per_client import MAX_CLIENTS, ClientLimits, Refusal

TOO_MANY = "too many connections from this client"
TOO_OFTEN = "too many attempts from this client"


def let_in(limits: ClientLimits, client: str, now: float) -> bool:
    """Return whether a client is let in."""
    return limits.acquire(client, now) is None


def test_limits_are_off_by_default() -> None:
    """Without limits everybody is let in, and nothing is kept."""
    limits = ClientLimits()
    assert all(let_in(limits, "client", 0.0) for _ in range(1000))
    limits.release("client")
    assert len(limits) == 0


def test_connections_of_a_client() -> None:
    """A client has so many connections at a time; one that ends makes room for another."""
    limits = ClientLimits(max_connections_per_client=2)
    assert [let_in(limits, "client", 0.0) for _ in range(4)] == [True, True, False, False]
    assert limits.acquire("client", 0.0) == Refusal(TOO_MANY, 5)
    assert let_in(limits, "other", 0.0)
    limits.release("client")
    assert [let_in(limits, "client", 0.0) for _ in range(2)] == [True, False]


def test_who_is_gone_is_forgotten() -> None:
    """Once the last connection of a client is over, it is forgotten."""
    limits = ClientLimits(max_connections_per_client=2)
    for client in ("a", "a", "b"):
        assert let_in(limits, client, 0.0)
    assert len(limits) == 2
    for client, left in (("a", 2), ("b", 1), ("a", 0)):
        limits.release(client)
        assert len(limits) == left


def test_attempts_of_a_client() -> None:
    """A client has so many attempts at once, and then one whenever its part of a minute is over."""
    limits = ClientLimits(max_connects_per_minute=3)
    assert [let_in(limits, "client", 100.0) for _ in range(4)] == [True, True, True, False]
    assert let_in(limits, "other", 100.0)
    assert [let_in(limits, "client", now) for now in (119.9, 120.0, 120.0)] == [False, True, False]
    assert [let_in(limits, "client", 161.0) for _ in range(3)] == [True, True, False]


def test_time_that_a_client_is_told() -> None:
    """A client is told when its next attempt will do; attempts before then do not change it."""
    limits = ClientLimits(max_connects_per_minute=2)
    assert let_in(limits, "client", 0.0)
    assert let_in(limits, "client", 10.0)
    for now in (10.0, 15.0, 29.0):
        refusal = limits.acquire("client", now)
        assert refusal is not None
        assert refusal.why == TOO_OFTEN
        assert refusal.retry_after == pytest.approx(30 - now)
    assert let_in(limits, "client", 30.0)


def test_refused_connection_costs_an_attempt() -> None:
    """A client that has too many connections uses up its attempts, and then is told so."""
    limits = ClientLimits(max_connections_per_client=1, max_connects_per_minute=3)
    whys = [refusal and refusal.why for refusal in (limits.acquire("c", 0.0) for _ in range(5))]
    assert whys == [None, TOO_MANY, TOO_MANY, TOO_OFTEN, TOO_OFTEN]
    limits.release("c")
    assert let_in(limits, "c", 20.0)


def test_whole_allowance_is_forgotten() -> None:
    """A client is forgotten as soon as it has its whole allowance again, and not before."""
    limits = ClientLimits(max_connects_per_minute=6)
    for client, now in (("a", 0.0), ("a", 0.0), ("b", 5.0)):
        assert let_in(limits, client, now)
    for now, left in ((14.9, 2), (15.0, 2), (20.0, 0), (20.0, 0)):
        limits.prune(now)
        assert len(limits) == left


def test_table_empties_while_others_come() -> None:
    """Those who were many are forgotten while few come after them."""
    limits = ClientLimits(max_connects_per_minute=60)
    for i in range(100):
        assert let_in(limits, str(i), 0.0)
    sizes = []
    for now in range(61, 170):
        assert let_in(limits, "steady", float(now))
        sizes.append(len(limits))
    assert sizes[:2] == [99, 97]
    assert sizes[-1] == 1


def test_flood_from_many_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has a bound: past it, who was let in longest ago is forgotten first."""
    monkeypatch.setattr(per_client, "MAX_CLIENTS", 10)
    limits = ClientLimits(max_connects_per_minute=1)
    assert let_in(limits, "old", 0.0)
    assert let_in(limits, "new", 1.0)
    assert all(let_in(limits, str(i), 2.0) for i in range(9))
    assert len(limits) == 10
    assert not let_in(limits, "new", 3.0)
    assert let_in(limits, "old", 3.0)
    assert len(limits) == 10


def test_bound_is_out_of_reach() -> None:
    """To make the relay forget anybody takes over a thousand connections a second."""
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
    """Whoever comes and leaves whenever, no client has more than its limits allow."""
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
        if refusal is None or refusal.why == TOO_MANY:
            tried[client].append(now)
        else:
            assert often
            again = math.ceil(refusal.retry_after)
            assert 1 <= again <= 60
        if most:
            assert here[client] <= most
            assert refusal is None or refusal.why == TOO_OFTEN or here[client] == most
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
def test_client_is_let_in_when_it_was_told(often: int, now: float, early: int) -> None:
    """Exactly the whole allowance is let in at once, and the next one when it was told to come."""
    limits = ClientLimits(max_connects_per_minute=often)
    for _ in range(often):
        assert let_in(limits, "client", now)
    for _ in range(3):
        refusal = limits.acquire("client", now)
        assert refusal is not None
        assert refusal.retry_after == pytest.approx(60 / often, abs=1e-4)
        for _ in range(early):
            assert not let_in(limits, "client", now + refusal.retry_after * 0.9)
        now += refusal.retry_after
        assert let_in(limits, "client", now)
