"""Samples and their statistics: pure arithmetic, no I/O."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Values = Mapping[str, float]
_WHOLE_FROM = 100


@dataclass(frozen=True)
class Metric:
    """Metric of a workload, with its unit and its better direction."""

    name: str
    unit: str
    better: Literal["more", "less"] = "less"

    @property
    def is_result(self) -> bool:
        """True if the metric rates the peer, False if it rates the measurement."""
        return not self.name.endswith("busy")


@dataclass(frozen=True)
class Sample:
    """Result of one peer in one round of one workload.

    `point` is the place on the workload's scale: bytes in a message, or pairs at once. `values` is
    empty if `failure` states a reason.
    """

    workload: str
    point: int
    peer: str
    round: int
    values: Values = field(default_factory=dict)
    failure: str = ""


Key = tuple[str, int, str]
"""Workload, point and peer of a median."""


def medians(samples: Iterable[Sample]) -> dict[Key, dict[str, float]]:
    """Return the median of every metric over the rounds, without failures."""
    grouped: dict[Key, list[Values]] = defaultdict(list)
    for sample in samples:
        if not sample.failure:
            grouped[sample.workload, sample.point, sample.peer].append(sample.values)
    return {
        key: {name: statistics.median(values[name] for values in rounds) for name in rounds[0]}
        for key, rounds in grouped.items()
    }


def ratio(value: float | None, reference: float | None) -> float | None:
    """Return the quotient if both values are known and above zero."""
    if value is None or reference is None or value <= 0 or reference <= 0:
        return None
    return value / reference


def readable(value: float | None) -> str:
    """Format a number with three digits, or whole if it has more."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}"


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` (0 to 1) of a sorted sequence reaches."""
    if not ordered:
        raise ValueError("no values to take a percentile of")
    rank = -(-share * len(ordered) // 1)  # rounded up: the nearest rank, counted from one
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


def latencies(seconds: Iterable[float]) -> dict[str, float]:
    """Return the usual percentiles of latencies, in microseconds."""
    ordered = sorted(seconds)
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return {name: percentile(ordered, share) * 1e6 for name, share in shares.items()}
