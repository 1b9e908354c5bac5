"""Limit the data in one direction of a pair to ``max_bytes_per_second``.

Pure: the caller passes the time, in seconds of its own clock.
"""

from __future__ import annotations

import math
from typing import Final

MAX_CREDIT_SECONDS: Final = 1 / 32
"""Maximum credit, expressed in seconds of data at the configured rate.

Credit is data that is read without a delay. It compensates for a delay or a write that took too
long. The credit of an idle side does not grow beyond the maximum.
"""

SECONDS_PER_READ: Final = 1 / 16
"""Maximum size of one read, in seconds of data at the configured rate. Small reads avoid bursts."""

MIN_CHUNK: Final = 512
"""Lower bound in bytes for the maximum size of one read: each read has a fixed CPU cost."""


class Pacer:
    """Delays that limit the data in one direction of a pair to a rate.

    ``rate`` is above 0, in bytes per second. An infinite rate is no limit.

    The data of an interval can exceed the rate by one ``chunk`` and by the data of
    `MAX_CREDIT_SECONDS`. At 8 KiB per second or more, this excess is below 2 % in any five seconds,
    even after an idle time. At lower rates, the excess is greater, because the size of a chunk has
    the lower bound `MIN_CHUNK`.
    """

    __slots__ = ("_paid_at", "_rate", "_total", "chunk")

    def __init__(self, rate: float, read_size: int) -> None:
        self._rate = rate
        self._paid_at = -math.inf
        self._total = 0
        self.chunk = int(min(read_size, max(MIN_CHUNK, rate * SECONDS_PER_READ)))
        """Maximum size of one read in bytes, never above ``read_size``."""

    def delay_for(self, total: int, now: float) -> float:
        """Charge the bytes since the last call; return the seconds to wait before reading again.

        ``total`` is the number of all bytes since the start, including these bytes.
        """
        count, self._total = total - self._total, total
        return self.delay(count, now)

    def delay(self, count: int, now: float) -> float:
        """Charge ``count`` bytes; return the seconds to wait before reading again."""
        self._paid_at = max(self._paid_at, now - MAX_CREDIT_SECONDS) + count / self._rate
        return max(0.0, self._paid_at - now)
