"""Adapt the size of a read to the CPU time that its data needs.

Pure: the time is an argument.
"""

from __future__ import annotations

from typing import Final

READ_SIZE: Final = 127 * 1024
"""Maximum size of a read in bytes, and about the memory of one direction of a pair.

Larger reads cost less CPU time per byte, up to 128 KiB. From there on, the C library maps a new
buffer for each read.
"""

MIN_READ: Final = 1024
"""Minimum size of a read in bytes. Smaller reads would mostly cost the overhead of a read."""

FIRST_READ: Final = 16 * 1024
"""Size of the first read in bytes, before any CPU time is known."""

READ_TIME: Final = 0.0005
"""Target maximum in seconds for one read and the processing of its data.

A full read of large messages takes a fifth of this. A full read of one-byte frames would take sixty
times as long, and delay all other tasks meanwhile.
"""


class ReadSize:
    """Size of the next read of one side: smaller if its data needs more CPU time per byte."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = FIRST_READ
        """Maximum size of the next read in bytes, from `MIN_READ` to `READ_SIZE`."""

    def adapt(self, seconds: float) -> None:
        """Set the size of the next read from the seconds that the last one took to process."""
        if seconds > READ_TIME:
            self.bytes = max(MIN_READ, int(self.bytes * READ_TIME / seconds))
        elif seconds < READ_TIME / 2 and self.bytes < READ_SIZE:
            self.bytes = min(READ_SIZE, 2 * self.bytes)
