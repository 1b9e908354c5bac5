"""Rate limit of the log lines that clients can cause. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

__all__ = ["TokenBucket"]

BURST: Final = 10.0
"""Capacity of the bucket: lines that may be written in one burst."""

REFILL_PER_SECOND: Final = 1.0
"""Lines per second after a burst."""


class TokenBucket:
    """A bucket of `BURST` tokens that counts suppressed lines."""

    def __init__(self, now: float) -> None:
        self._left = BURST
        self._since = now
        self._suppressed = 0

    def take(self, now: float) -> bool:
        """Take a token; return True if a line may be written. ``now`` is in monotonic seconds."""
        self._left = min(BURST, self._left + (now - self._since) * REFILL_PER_SECOND)
        self._since = now
        if self._left < 1:
            self._suppressed += 1
            return False
        self._left -= 1
        return True

    def take_suppressed(self) -> int:
        """Return the number of lines suppressed since the last call, and reset it."""
        left_out, self._suppressed = self._suppressed, 0
        return left_out
