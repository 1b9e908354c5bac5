"""How long to wait between reads, so that one direction of a pair keeps to a rate.

Pure: time is an argument, in seconds of the caller's clock.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["MAX_CREDIT_SECONDS", "Pacer"]

MAX_CREDIT_SECONDS: Final = 1 / 32
"""Seconds of which the bytes may be made up for, when a wait or a write took longer than meant.

A side that was idle has no more than this saved up.
"""

SECONDS_PER_READ: Final = 1 / 16
"""Seconds that one read is worth: a low rate comes in many small reads and not in jumps."""

MIN_CHUNK: Final = 512
"""Bytes that one read may take at any rate, as each has its cost."""


class Pacer:
    """Keeps one direction to a rate above 0, in bytes per second, by the delays it asks for.

    An infinite rate is none.

    In any time the bytes are those of the rate, and at most one ``chunk`` and those of
    `MAX_CREDIT_SECONDS` more. That is less than 2 % of any five seconds, also after an idle time,
    unless the rate is below 8 KiB per second, where a chunk takes longer.
    """

    __slots__ = ("_paid_at", "_rate", "_total", "chunk")

    def __init__(self, rate: float, read_size: int) -> None:
        self._rate = rate
        self._paid_at = -math.inf
        self._total = 0
        self.chunk = int(min(read_size, max(MIN_CHUNK, rate * SECONDS_PER_READ)))
        """Bytes that one read may take at most; never above read_size."""

    def delay_for(self, total: int, now: float) -> float:
        """Return the seconds from now to the next read, if total bytes have counted so far."""
        count, self._total = total - self._total, total
        return self.delay(count, now)

    def delay(self, count: int, now: float) -> float:
        """Return the seconds from now to the next read, after count more bytes were passed on."""
        self._paid_at = max(self._paid_at, now - MAX_CREDIT_SECONDS) + count / self._rate
        return max(0.0, self._paid_at - now)
