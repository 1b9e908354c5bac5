"""Rate limits of the log lines that clients can cause, and of one direction of a pair.

Pure: time is an argument, in seconds of the caller's clock.
"""

from __future__ import annotations

import math
from typing import Final

BURST: Final = 10.0
"""Capacity of the bucket: lines that may be written in one burst."""

REFILL_PER_SECOND: Final = 1.0
"""Lines per second after a burst."""

MAX_CREDIT_SECONDS: Final = 1 / 32
"""Maximum credit in seconds at the configured rate.

The credit compensates for a sleep or a write that took too long. An idle side gets no more.
"""

SECONDS_PER_READ: Final = 1 / 16
"""Maximum size of one read, in seconds at the configured rate. Small reads avoid bursts."""

MIN_CHUNK: Final = 512
"""Minimum size of a read in bytes at any rate, because each read has a fixed CPU cost."""


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
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed


class Pacer:
    """Delays that limit one direction to a rate above 0, in bytes per second.

    An infinite rate is no limit.

    In any interval the direction forwards at most the bytes of the rate, plus one ``chunk``, plus
    the bytes of `MAX_CREDIT_SECONDS`. From 8 KiB per second on, the excess is below 2 % in any five
    seconds, also after an idle time. Below that rate, a chunk takes longer.
    """

    __slots__ = ("_paid_at", "_rate", "_total", "chunk")

    def __init__(self, rate: float, read_size: int) -> None:
        self._rate = rate
        self._paid_at = -math.inf
        self._total = 0
        self.chunk = int(min(read_size, max(MIN_CHUNK, rate * SECONDS_PER_READ)))
        """Maximum size of one read in bytes, at most read_size."""

    def delay_for(self, total: int, now: float) -> float:
        """Return the seconds until the next read; ``total`` is the sum of all bytes charged."""
        count, self._total = total - self._total, total
        return self.delay(count, now)

    def delay(self, count: int, now: float) -> float:
        """Charge ``count`` more bytes and return the seconds until the next read."""
        self._paid_at = max(self._paid_at, now - MAX_CREDIT_SECONDS) + count / self._rate
        return max(0.0, self._paid_at - now)
