"""The table of codes: who waits, who is joined, who is refused.

Pure: time is an argument, an endpoint is any object, and nothing here waits. The one rule that
matters is *teardown by identity*: an endpoint leaves the pair that it was given, and the code is
freed only if the table still maps it to that very pair. A late end of an old connection can so
never touch a newer pair with the same code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..outcome import Outcome
from ..protocol.errors import PairFull

__all__ = ["Pair", "Rendezvous"]

SideT = TypeVar("SideT")


@dataclass(eq=False, slots=True)
class Pair(Generic[SideT]):
    """Two endpoints that share a code, or one that waits for the other.

    ``since`` is when side A came and ``joined`` when side B did, in seconds of the caller's clock;
    ``outcome`` is how the pair ended, once it did. The code is left out of the representation, so
    that it reaches no log and no traceback.
    """

    code: str = field(repr=False)
    a: SideT
    since: float
    b: SideT | None = None
    joined: float | None = None
    outcome: Outcome | None = None


class Rendezvous(Generic[SideT]):
    """Every code that is present, and the pair that owns it."""

    __slots__ = ("_pairs", "_waiting")

    def __init__(self) -> None:
        self._pairs: dict[str, Pair[SideT]] = {}
        self._waiting: dict[Pair[SideT], None] = {}

    def __len__(self) -> int:
        """Return how many codes are present, waiting or joined."""
        return len(self._pairs)

    @property
    def waiting(self) -> int:
        """How many of the codes have one side only."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Pair[SideT]]:
        """Yield every pair that is there now, whatever changes meanwhile."""
        return iter(list(self._pairs.values()))

    def find(self, code: str) -> Pair[SideT] | None:
        """Return the pair that owns this code, if it is present."""
        return self._pairs.get(code)

    def join(self, code: str, endpoint: SideT, now: float) -> Pair[SideT]:
        """Make endpoint side A of a new pair, or side B of the one that waits.

        Raises PairFull, and changes nothing, if the code has two sides already.
        """
        pair = self._pairs.get(code)
        if pair is None:
            pair = self._pairs[code] = Pair(code, endpoint, now)
            self._waiting[pair] = None
        elif pair.b is None:
            pair.b, pair.joined = endpoint, now
            del self._waiting[pair]
        else:
            raise PairFull
        return pair

    def end(self, pair: Pair[SideT]) -> None:
        """Free the code of this pair, unless it belongs to a newer pair. May be repeated."""
        if self._pairs.get(pair.code) is pair:
            del self._pairs[pair.code]
            self._waiting.pop(pair, None)

    def expired(self, now: float, ttl: float) -> list[Pair[SideT]]:
        """Return the pairs with one side that have waited longer than ttl seconds."""
        expired = []
        for pair in self._waiting:  # in the order they came, so the first young one ends it
            if now - pair.since <= ttl:
                break
            expired.append(pair)
        return expired
