"""Counters of the traffic of a pair, or of all pairs."""

from __future__ import annotations

from typing import NamedTuple


class Traffic(NamedTuple):
    """Traffic of one or all pairs, as tuples of a number for side A and a number for side B.

    `Reframer` counts, and `Pair.traffic` reads its counters.
    """

    bytes: tuple[int, int] = (0, 0)
    messages: tuple[int, int] = (0, 0)
    text_messages_dropped: tuple[int, int] = (0, 0)

    def plus(self, other: Traffic) -> Traffic:
        """Add each counter to the same counter of ``other``, separately for side A and side B."""
        pairs = zip(self, other, strict=True)
        return Traffic(*((one[0] + two[0], one[1] + two[1]) for one, two in pairs))
