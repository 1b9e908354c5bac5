"""Rule of the short form: a loss of the relay's speed against its baseline.

Only ratios of CPU time are compared, never seconds: both sides of a ratio are measured in the same
run on the same machine, so a slow or a busy machine changes both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .figures import Key, Values, ratio

OURS = "arc-relay"
ALLOWED = 2.0
"""Highest allowed ratio to the baseline. Twice the cost is half the speed."""


@dataclass(frozen=True)
class Bound:
    """Recorded ratio of the relay's cost to a yardstick's, for one workload."""

    workload: str
    point: int
    metric: str
    yardstick: str
    baseline: float


# Medians of a run on an otherwise idle machine with two cores. Record them anew when
# the relay becomes faster for good; never to let a slower one pass.
BASELINE = (
    Bound("small", 100, "CPU/message", "trio-websocket", 0.0077),
    Bound("small", 100, "CPU/message", "trio-splice", 5.5),
    Bound("bulk", 65536, "CPU/byte", "trio-websocket", 0.088),
    Bound("bulk", 65536, "CPU/byte", "trio-splice", 0.75),
    Bound("bulk-tls", 65536, "CPU/byte", "trio-splice", 0.5),
    Bound("setup", 32, "CPU/pair", "trio-websocket", 0.65),
)


@dataclass(frozen=True)
class Verdict:
    """One bound and its measured ratio; None if a side has no result."""

    bound: Bound
    measured: float | None

    @property
    def passed(self) -> bool:
        """True if the ratio is known and within the bound."""
        return self.measured is not None and self.measured <= ALLOWED * self.bound.baseline


def compare(medians: Mapping[Key, Values], bounds: Iterable[Bound]) -> list[Verdict]:
    """Compare the medians of a run with every bound."""

    def figure(bound: Bound, peer: str) -> float | None:
        return medians.get((bound.workload, bound.point, peer), {}).get(bound.metric)

    return [
        Verdict(bound, ratio(figure(bound, OURS), figure(bound, bound.yardstick)))
        for bound in bounds
    ]
