"""Limit the rate of the log lines that clients can cause."""

from __future__ import annotations

from typing import Final

BURST: Final = 10.0
"""Capacity of a token bucket. Each line takes one token, so this is the longest burst of lines."""

REFILL_PER_SECOND: Final = 1.0
"""Tokens that a bucket gains per second."""


class TokenBucket:
    """Token bucket for log lines, which also counts the suppressed lines."""

    def __init__(self, now: float) -> None:
        self._left = BURST
        self._since = now
        self._suppressed = 0

    def take(self, now: float) -> bool:
        """Return True if a token is left, and take it. Otherwise, count a suppressed line.

        ``now`` is a monotonic time in seconds.
        """
        self._left = min(BURST, self._left + (now - self._since) * REFILL_PER_SECOND)
        self._since = now
        if self._left < 1:
            self._suppressed += 1
            return False
        self._left -= 1
        return True

    def take_suppressed(self) -> int:
        """Return the number of lines that were suppressed since the last call."""
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
