"""Pipe in place of standard error, and its reader."""

from __future__ import annotations

import os
import select
from contextlib import suppress

PAGE = 4096


class Pipe:
    """Pipe in place of standard error, and its reader."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.stream = open(writer, "w")  # noqa: SIM115, PTH123 - it is closed with the pipe

    def read(self) -> str:
        """Return the contents of the pipe."""
        found = b""
        with suppress(BlockingIOError):
            while data := os.read(self._reader, 1 << 20):
                found += data
        return found.decode()

    def fill(self) -> None:
        """Write until the pipe is full."""
        poll = select.poll()
        poll.register(self.stream, select.POLLOUT)
        while poll.poll(0):
            os.write(self.stream.fileno(), b"x" * PAGE)

    def hang_up(self) -> None:
        """Close the reading end."""
        os.close(self._reader)
        self._reader = -1

    def close(self) -> None:
        if self._reader >= 0:
            self.hang_up()
        self.stream.close()
