"""Limit the data in one direction of a pair to ``max_bytes_per_second``.

Pure: the caller passes the time, in seconds of its own clock.
"""

from __future__ import annotations

import math
from typing import Final

MAX_CREDIT_SECONDS: Final = 1 / 32
"""Maximum credit: the data of this number of seconds at the configured rate.

Credit is the amount of data that may be read without a delay. It makes up for time that was lost
because a write blocked or a delay lasted too long. An idle side accumulates no more credit than the
maximum.
"""

SECONDS_PER_READ: Final = 1 / 16
"""Maximum size of one read: the data of this number of seconds at the configured rate.

Small reads avoid bursts.
"""

MIN_CHUNK: Final = 512
"""Minimum, in bytes, of `Pacer.chunk`. Smaller reads would cost too much CPU time per byte."""


class Pacer:
    """Rate limiter of one direction of a pair, which calculates the delay before each read.

    ``rate`` is positive, in bytes per second; infinity means no limit.

    Over any interval, the number of bytes read exceeds ``rate`` times the interval by at most one
    ``chunk`` plus ``rate`` times `MAX_CREDIT_SECONDS`. Over five seconds, at a rate of 8 KiB per
    second or more, the excess is less than 2 % of the allowed bytes, even after an idle period. At
    a lower rate, it can be greater, because a chunk has at least `MIN_CHUNK` bytes.
    """

    __slots__ = ("_paid_at", "_rate", "_total", "chunk")

    def __init__(self, rate: float, read_size: int) -> None:
        self._rate = rate
        self._paid_at = -math.inf
        self._total = 0
        self.chunk = int(min(read_size, max(MIN_CHUNK, rate * SECONDS_PER_READ)))
        """Maximum size, in bytes, of one read; at most ``read_size``."""

    def delay_for(self, total: int, now: float) -> float:
        """Record the bytes read since the last call; return the delay before the next read.

        ``total`` is the number of all bytes read so far. The delay is in seconds.
        """
        count, self._total = total - self._total, total
        return self.delay(count, now)

    def delay(self, count: int, now: float) -> float:
        """Record a read of ``count`` bytes; return the seconds to wait before the next read."""
        self._paid_at = max(self._paid_at, now - MAX_CREDIT_SECONDS) + count / self._rate
        return max(0.0, self._paid_at - now)
