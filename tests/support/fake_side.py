"""A side of a pair without a client."""

from __future__ import annotations

from relay.outcomes import Close
from relay.pairing.side import Side


class FakeSide(Side):
    """A side that records its end. Its name tells it from other sides."""

    __slots__ = ("closes", "name")

    def __init__(self, name: object = "") -> None:
        self.name = name
        self.closes: list[Close] = []

    def end(self, close: Close) -> None:
        self.closes.append(close)
