"""Table of the codes in use. It joins two clients with the same code, and refuses a third client.

No function waits, and the time is an argument. *Teardown by identity*: a pair that ends frees its
code only if the table still maps the code to this pair. So the late end of an old pair never
affects a newer pair with the same code.
"""

from __future__ import annotations

from collections.abc import Iterator

from .pair import Pair
from .side import Side


class PairFull(Exception):
    """The code already has two sides. The relay refuses a third client with 409."""


class Rendezvous:
    """Mapping of each code in use to its pair."""

    __slots__ = ("_pairs", "_waiting")

    def __init__(self) -> None:
        self._pairs: dict[str, Pair] = {}
        self._waiting: dict[Pair, None] = {}

    def __len__(self) -> int:
        """Return the number of codes in use, which is the number of waiting and joined pairs."""
        return len(self._pairs)

    @property
    def waiting(self) -> int:
        """Number of codes with a waiting side."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Pair]:
        """Iterate over a snapshot of the pairs, so that the table may change during iteration."""
        return iter(list(self._pairs.values()))

    def find(self, code: str) -> Pair | None:
        """Return the pair of a code, or None if the code is not in use."""
        return self._pairs.get(code)

    def join(self, code: str, side: Side, now: float) -> Pair:
        """Add a side to the pair that waits with this code; if there is none, to a new pair.

        In the waiting pair, the side becomes side B. In the new pair, it becomes side A.

        If the code already has two sides, this method raises PairFull and changes nothing.
        """
        pair = self._pairs.get(code)
        if pair is None:
            pair = self._pairs[code] = Pair(code, side, now, self.free)
            self._waiting[pair] = None
        elif pair.b is None:
            pair.b, pair.joined = side, now
            del self._waiting[pair]
        else:
            raise PairFull
        return pair

    def free(self, pair: Pair) -> None:
        """Free the code of a pair, unless a newer pair uses the code. Idempotent."""
        if self._pairs.get(pair.code) is pair:
            del self._pairs[pair.code]
            self._waiting.pop(pair, None)

    def expired(self, now: float, ttl: float) -> list[Pair]:
        """Return the waiting pairs whose side A has waited for longer than ``ttl`` seconds."""
        expired = []
        for pair in self._waiting:  # the oldest pair is first
            if now - pair.since <= ttl:
                break
            expired.append(pair)
        return expired
