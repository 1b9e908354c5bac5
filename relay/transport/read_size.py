"""Bytes that one read of a side may take.

Pure: the time that a read took is an argument.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MIN_READ", "READ_SIZE", "READ_TIME", "ReadSize"]

READ_SIZE: Final = 127 * 1024
"""The most bytes that one read takes, and so about the most that one direction of a pair holds.

Larger reads are cheaper by the byte, up to where the C library maps each buffer afresh, 128 KiB.
"""

MIN_READ: Final = 1024
"""The fewest bytes that one read may take, whatever they cost: each read has a cost of its own."""

FIRST_READ: Final = 16 * 1024
"""Bytes of the first read, whose cost is not known."""

READ_TIME: Final = 0.0005
"""Seconds that one read, with all that follows from it, should take at most.

A read of large messages takes a fifth of this. One of 127 KiB in frames of one byte would take
sixty times as long, and meanwhile nobody else is served.
"""


class ReadSize:
    """The size of the next read of one side: smaller where its data is expensive to handle."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = FIRST_READ
        """Bytes that the next read may take, from `MIN_READ` to `READ_SIZE`."""

    def adapt(self, seconds: float) -> None:
        """Choose the size of the next read by the time that the last one took to handle."""
        if seconds > READ_TIME:
            self.bytes = max(MIN_READ, int(self.bytes * READ_TIME / seconds))
        elif seconds < READ_TIME / 2 and self.bytes < READ_SIZE:
            self.bytes = min(READ_SIZE, 2 * self.bytes)
