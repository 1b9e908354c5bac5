"""Delays between the reads of one direction of a pair, which keep its rate."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.limits.bytes_per_second import MAX_CREDIT_SECONDS, Pacer

READ_SIZE = 127 * 1024
KIB, MIB = 2**10, 2**20


def run(pacer: Pacer, seconds: float, now: float, late: float = 0.0) -> tuple[int, float]:
    """Read as much as the pacer allows, with late wake-ups; return the bytes and the time."""
    count, end = 0, now + seconds
    while now < end:
        count += pacer.chunk
        delay = pacer.delay(pacer.chunk, now)
        now += delay + late * (delay > 0)
    return count, now


@pytest.mark.parametrize(
    ("rate", "chunk"),
    [
        (1, 512),
        (8191, 512),
        (8192, 512),
        (16 * KIB, KIB),
        (MIB, 64 * KIB),
        (16 * 127 * KIB, 127 * KIB),
        (100 * MIB, 127 * KIB),
    ],
)
def test_chunk(rate: int, chunk: int) -> None:
    """One read has a sixteenth of a second's bytes, within bounds."""
    assert Pacer(rate, READ_SIZE).chunk == chunk


def test_no_rate() -> None:
    """An infinite rate has no limit of a read, and no wait."""
    pacer = Pacer(math.inf, READ_SIZE)
    assert pacer.chunk == READ_SIZE
    assert [pacer.delay(READ_SIZE, 1000.0) for _ in range(100)] == [0.0] * 100


def test_read_size_is_never_exceeded() -> None:
    """No rate makes a read larger than the caller's maximum."""
    assert Pacer(1, 100).chunk == 100


@pytest.mark.parametrize("rate", [8 * KIB, 100_000, MIB, 50 * MIB])
@pytest.mark.parametrize("late", [0.0, 0.001, 0.02])
def test_rate_is_kept(rate: int, late: float) -> None:
    """The rate is kept to 2 % over some seconds, also if each wait ends a little late."""
    start = 1000.0
    count, now = run(Pacer(rate, READ_SIZE), 5.0, start, late)
    assert count / (now - start) == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize("idle", [0.01, 0.1, 1.0, 3600.0])
def test_idle_time_is_not_saved_up(idle: float) -> None:
    """After idle time the rate applies, with no more than the credit on top."""
    rate, now = 64 * KIB, 0.0
    pacer = Pacer(rate, READ_SIZE)
    for _ in range(5):
        count, then = run(pacer, 5.0, now)
        assert count / (then - now) == pytest.approx(rate, rel=0.02)
        now = then + idle


def test_first_read_is_charged() -> None:
    """The first read is charged too, beyond the credit."""
    pacer = Pacer(KIB, READ_SIZE)
    assert pacer.delay(2 * KIB, 500.0) == pytest.approx(2.0 - MAX_CREDIT_SECONDS)
    assert pacer.delay(KIB, 502.0 - MAX_CREDIT_SECONDS) == pytest.approx(1.0)


def test_wait_that_was_too_long_is_made_up_for() -> None:
    """A wait that was too long is compensated up to the credit."""
    pacer = Pacer(KIB, READ_SIZE)
    now = 10.0 + pacer.delay(KIB, 10.0)
    assert pacer.delay(KIB, now + MAX_CREDIT_SECONDS / 2) == pytest.approx(
        1.0 - MAX_CREDIT_SECONDS / 2
    )
    now += 1.0
    assert pacer.delay(KIB, now + 10 * MAX_CREDIT_SECONDS) == pytest.approx(
        1.0 - MAX_CREDIT_SECONDS
    )


def test_slow_sender_does_not_wait() -> None:
    """A sender below the rate never waits."""
    pacer = Pacer(MIB, READ_SIZE)
    assert {pacer.delay(KIB, i / 100) for i in range(1000)} == {0.0}


@given(
    st.integers(1, 10**9),
    st.lists(st.tuples(st.integers(1, READ_SIZE), st.floats(0, 10)), min_size=1, max_size=50),
    st.floats(0, 1e6),
)
def test_no_time_has_too_many_bytes(
    rate: int, reads: list[tuple[int, float]], start: float
) -> None:
    """The bytes between any two reads are at most those of the time, one read and the credit."""
    pacer = Pacer(rate, READ_SIZE)
    now, at, total = start, [], [0]
    for count, pause in reads:
        at.append(now)
        total.append(total[-1] + count)
        now += pacer.delay(count, now) + pause
    at.append(now)
    for i, since in enumerate(at):
        for j in range(i, len(at)):
            assert (total[j] - total[i]) / rate <= (
                at[j] - since + MAX_CREDIT_SECONDS
            ) * 1.001 + 1e-6
    assert all(later >= earlier for earlier, later in pairwise(at))
