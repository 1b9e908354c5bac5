"""Adapt the size of a read to the CPU time that the data of earlier reads needed.

Pure: the time is an argument.
"""

from __future__ import annotations

from typing import Final

READ_SIZE: Final = 127 * 1024
"""Maximum size of a read in bytes. One direction of a pair needs about as much memory.

Larger reads cost less CPU time per byte, but only below 128 KiB. From 128 KiB on, the C library
maps new memory for each read.
"""

MIN_READ: Final = 1024
"""Lower bound of `ReadSize.bytes`. In smaller reads, most of the CPU time would be overhead."""

FIRST_READ: Final = 16 * 1024
"""Size of the first read in bytes, before any CPU time is known."""

READ_TIME: Final = 0.0005
"""Target maximum in seconds for one read, including the processing of its data.

A read of `READ_SIZE` takes a fifth of this time if the messages are large. With one-byte frames, it
would take sixty times this time, and delay all other tasks.
"""


class ReadSize:
    """Size of the next read from one side. It shrinks if the data needs more CPU time per byte."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = FIRST_READ
        """Maximum size of the next read in bytes, from `MIN_READ` to `READ_SIZE`."""

    def adapt(self, seconds: float) -> None:
        """Set the size of the next read; ``seconds`` is the processing time of the last read."""
        if seconds > READ_TIME:
            self.bytes = max(MIN_READ, int(self.bytes * READ_TIME / seconds))
        elif seconds < READ_TIME / 2 and self.bytes < READ_SIZE:
            self.bytes = min(READ_SIZE, 2 * self.bytes)
