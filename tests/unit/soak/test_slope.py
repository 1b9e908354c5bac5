"""Slopes of series with known answers, and their confidence intervals."""

from __future__ import annotations

import math
from random import Random

import pytest
import trio

from proof.soak.samples import ticks
from proof.soak.slope import HOUR, fit, student

TIMES = [10.0 * number for number in range(360)]


def noise(seed: int, memory: float) -> list[float]:
    """Return a series in which each value keeps a share of the one before."""
    random, value, found = Random(seed), 0.0, []
    for _ in TIMES:
        value = memory * value + random.gauss(0, 1)
        found.append(value)
    return found


def coverage(memory: float, slope: float = 0.0) -> float:
    """Return the share of series whose interval includes the true slope per hour."""
    hits = 0
    for seed in range(200):
        series = [
            value + slope * time / HOUR
            for time, value in zip(TIMES, noise(seed, memory), strict=True)
        ]
        found = fit(TIMES, series)
        hits += abs(found.per_hour - slope) <= found.margin
    return hits / 200


def test_line() -> None:
    """A straight line has its slope, its value at time 0, and no uncertainty."""
    found = fit(TIMES, [5 + 2 * time / HOUR for time in TIMES])
    assert found.per_hour == pytest.approx(2)
    assert found.at_zero == pytest.approx(5)
    assert found.mean == pytest.approx(5 + 2 * TIMES[-1] / 2 / HOUR)
    assert found.margin == pytest.approx(0, abs=1e-9)
    assert not found.is_level


def test_constant() -> None:
    """A constant series is level."""
    found = fit(TIMES, [3.0] * len(TIMES))
    assert (found.per_hour, found.margin, found.is_level) == (0, 0, True)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_interval_includes_the_slope(memory: float) -> None:
    """About 95 % of the intervals include the true slope, also of autocorrelated series."""
    assert 0.88 <= coverage(memory, slope=1.5) <= 1


def test_autocorrelation_widens_the_interval() -> None:
    """A series that remembers has a wider interval than one of equal size that does not."""
    smooth, rough = fit(TIMES, noise(1, 0.9)), fit(TIMES, noise(1, 0.0))
    assert smooth.autocorrelation == pytest.approx(0.9, abs=0.1)
    assert rough.autocorrelation < 0.2
    assert smooth.margin > 3 * rough.margin


def test_leak_is_found() -> None:
    """A leak of three noise widths an hour is no level series."""
    values = [value + 3 * time / HOUR for time, value in zip(TIMES, noise(2, 0.3), strict=True)]
    assert not fit(TIMES, values).is_level


@pytest.mark.parametrize("count", [2, 3])
def test_few_samples(count: int) -> None:
    """Too few samples have an infinite interval."""
    assert fit(TIMES[:count], [1.0, 2.0, 2.5][:count]).margin == math.inf or count > 2


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0], [1.0, 2.0, 3.0]])
def test_too_short(times: list[float]) -> None:
    """A series with one time, or without a value for each time, has no slope."""
    with pytest.raises(ValueError, match="two different times"):
        fit(times, [1.0, 2.0])


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 3.182), (10, 2.228), (30, 2.042)])
def test_student(freedom: float, quantile: float) -> None:
    """The quantiles are those of the tables."""
    assert student(freedom) == pytest.approx(quantile, rel=0.01)


async def test_ticks(autojump_clock: trio.testing.MockClock) -> None:
    """Ticks are even, end with the duration, and are left out while the caller is busy."""
    found = []
    async for time in ticks(10, 60):
        found.append(time)
        assert trio.current_time() == pytest.approx(found[0] - 10 + time)
        if time == 20:
            await trio.sleep(25)
    assert found == [10, 20, 50, 60]
