"""Limit the data in one direction of a pair to ``max_bytes_per_second``.

Pure: the caller passes the time, in seconds of its own clock.
"""

from __future__ import annotations

import math
from typing import Final

MAX_CREDIT_SECONDS: Final = 1 / 32
"""Maximum credit, expressed in seconds of data at the configured rate.

Credit is the amount of data that may be read without a delay. It compensates for delays and writes
that took longer than planned. An idle side accumulates no more credit than this.
"""

SECONDS_PER_READ: Final = 1 / 16
"""Maximum size of one read, expressed in seconds of data at the configured rate.

Small reads avoid bursts.
"""

MIN_CHUNK: Final = 512
"""Minimum, in bytes, of `Pacer.chunk`. Smaller reads would cost too much CPU time per byte."""


class Pacer:
    """Rate limiter of one direction of a pair, which calculates the delay before each read.

    ``rate`` is positive, in bytes per second; infinity means no limit.

    In any interval, the data exceeds the rate by at most one ``chunk`` and `MAX_CREDIT_SECONDS` of
    data. At 8 KiB per second or more, the excess is below 2 % in five seconds, even after an idle
    time. At lower rates it can be greater, because a chunk has at least `MIN_CHUNK` bytes.
    """

    __slots__ = ("_paid_at", "_rate", "_total", "chunk")

    def __init__(self, rate: float, read_size: int) -> None:
        self._rate = rate
        self._paid_at = -math.inf
        self._total = 0
        self.chunk = int(min(read_size, max(MIN_CHUNK, rate * SECONDS_PER_READ)))
        """Maximum size, in bytes, of one read; at most ``read_size``."""

    def delay_for(self, total: int, now: float) -> float:
        """Charge the bytes since the last call; return the seconds to wait before reading again.

        ``total`` is the number of bytes since the first read, including the bytes to charge.
        """
        count, self._total = total - self._total, total
        return self.delay(count, now)

    def delay(self, count: int, now: float) -> float:
        """Charge ``count`` bytes; return the seconds to wait before reading again."""
        self._paid_at = max(self._paid_at, now - MAX_CREDIT_SECONDS) + count / self._rate
        return max(0.0, self._paid_at - now)
