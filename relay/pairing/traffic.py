"""Counters of the traffic of a pair, or of all pairs."""

from __future__ import annotations

from typing import NamedTuple


class Traffic(NamedTuple):
    """Traffic of one or all pairs. Each counter is a tuple: from side A, and from side B.

    `Pair.traffic` collects the counters from the sides and their reframers.
    """

    bytes: tuple[int, int] = (0, 0)
    messages: tuple[int, int] = (0, 0)
    text_messages_dropped: tuple[int, int] = (0, 0)

    def plus(self, other: Traffic) -> Traffic:
        """Add each counter to the same counter of ``other``, separately for side A and side B."""
        pairs = zip(self, other, strict=True)
        return Traffic(*((one[0] + two[0], one[1] + two[1]) for one, two in pairs))
