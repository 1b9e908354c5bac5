"""How many lines strangers may cause. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

__all__ = ["Allowance"]

AT_ONCE: Final = 10.0
"""Lines that may come at once."""

PER_SECOND: Final = 1.0
"""Lines a second after that."""


class Allowance:
    """Lets `AT_ONCE` lines through, and `PER_SECOND` after that; counts those that it does not."""

    def __init__(self, now: float) -> None:
        self._left = AT_ONCE
        self._since = now
        self._left_out = 0

    def take(self, now: float) -> bool:
        """Return whether a line may be written now, seconds on a clock that never goes back."""
        self._left = min(AT_ONCE, self._left + (now - self._since) * PER_SECOND)
        self._since = now
        if self._left < 1:
            self._left_out += 1
            return False
        self._left -= 1
        return True

    def settle(self) -> int:
        """Return how many lines were left out since this was last asked."""
        left_out, self._left_out = self._left_out, 0
        return left_out
