"""Adapt the size of a read to the time that earlier reads and the processing of their data took.

Pure: the time is an argument.
"""

from __future__ import annotations

from typing import Final

READ_SIZE: Final = 127 * 1024
"""Maximum size, in bytes, of a read. Each direction of a pair needs about this much memory.

Larger reads cost less CPU time per byte. But from 128 KiB on, the C library maps new memory for
each read, which costs as much as the larger size saves.
"""

MIN_READ: Final = 1024
"""Minimum value of `ReadSize.bytes`. With smaller reads, most CPU time would be overhead."""

FIRST_READ: Final = 16 * 1024
"""Size, in bytes, of the first read from a side."""

READ_TIME: Final = 0.0005
"""Target for the maximum duration, in seconds, of one read and the processing of its data.

A read of `READ_SIZE` bytes takes a fifth of this target if the messages are large. With one-byte
frames, it would take sixty times the target, and delay all other tasks for that time.
"""


class ReadSize:
    """Size of the next read from one side.

    The size shrinks after a read that took longer than `READ_TIME`, and grows after a read that
    took less than half of this time.
    """

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = FIRST_READ
        """Maximum size, in bytes, of the next read: from `MIN_READ` to `READ_SIZE`."""

    def adapt(self, seconds: float) -> None:
        """Set the size of the next read, after a read and its processing took ``seconds``."""
        if seconds > READ_TIME:
            self.bytes = max(MIN_READ, int(self.bytes * READ_TIME / seconds))
        elif seconds < READ_TIME / 2 and self.bytes < READ_SIZE:
            self.bytes = min(READ_SIZE, 2 * self.bytes)
