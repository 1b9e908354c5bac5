"""How many lines strangers may cause. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

__all__ = ["TokenBucket"]

BURST: Final = 10.0
"""Lines that may come at once."""

REFILL_PER_SECOND: Final = 1.0
"""Lines a second after that."""


class TokenBucket:
    """A token bucket of `BURST` tokens, which counts the requests that found none."""

    def __init__(self, now: float) -> None:
        self._left = BURST
        self._since = now
        self._suppressed = 0

    def take(self, now: float) -> bool:
        """Return whether a line may be written now, seconds on a clock that never goes back."""
        self._left = min(BURST, self._left + (now - self._since) * REFILL_PER_SECOND)
        self._since = now
        if self._left < 1:
            self._suppressed += 1
            return False
        self._left -= 1
        return True

    def take_suppressed(self) -> int:
        """Return how many lines were left out since this was last asked."""
        left_out, self._suppressed = self._suppressed, 0
        return left_out
