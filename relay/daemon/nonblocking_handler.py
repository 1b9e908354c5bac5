"""Write log lines to a descriptor that may be slow, full or closed.

The relay has one thread. If it waited for the reader of its standard error, a stuck log collector
would stop every pair. So a line is written if the descriptor accepts the line at once, and is lost
otherwise. Before the next line that can be written, the handler writes the number of lost lines. A
writer thread would not help: its queue must be bounded, so it would lose lines too, and a crash
would lose the queued lines just when they are needed.

The descriptor is not set to non-blocking mode, because that would affect every process that shares
the descriptor. Instead, poll(2) reports whether the descriptor is writable. A writable pipe or
socket accepts `PIECE` bytes without blocking. A terminal may accept fewer bytes, so the terminal is
opened a second time, in non-blocking mode.
"""

from __future__ import annotations

import logging
import os
import select
from typing import Final, TextIO

PIECE: Final = select.PIPE_BUF
"""Maximum size of a write, in bytes. A pipe accepts a write of this size whole or not at all."""


class NonBlockingHandler(logging.Handler):
    """Handler that writes each record to the descriptor of a stream, and never blocks or raises.

    A stream without a descriptor, as in tests, is written to directly. ``stream`` is None if the
    process was started with standard error closed. Lines are then discarded, because descriptor 2
    may have become the descriptor of a connection.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._descriptor = unblocked(descriptor_of(stream))
        self._poll = select.poll()
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLOUT)
        self._lost = 0  # since the last line that was written
        self.lost = 0
        """Number of lines lost since the start."""
        self._within_line = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it as lost."""
        try:
            self.write(self.format(record))
        except Exception:  # noqa: BLE001 - a failed log line must not end the relay
            self._lose()

    def write(self, line: str) -> None:
        """Write a rendered line, or count it as lost."""
        try:
            if self._lost:
                self._write(self.format(self._loss()))
                self._lost = 0
            self._write(line)
        except (OSError, ValueError):  # full, no reader, or a closed stream
            self._lose()

    def _lose(self) -> None:
        self._lost += 1
        self.lost += 1

    def _loss(self) -> logging.LogRecord:
        return logging.makeLogRecord(
            {
                "name": "relay",
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": "log lines lost",
                "lost": self._lost,
            }
        )

    def _write(self, line: str) -> None:
        """Write a line; raise OSError or ValueError if part of the line was not written."""
        if self._descriptor is not None:
            self._write_pieces(self._descriptor, line.encode(errors="backslashreplace") + b"\n")
        elif self._stream is not None:
            self._stream.write(f"{line}\n")

    def _write_pieces(self, descriptor: int, data: bytes) -> None:
        if self._within_line:
            data = b"\n" + data
        while data:
            if not self._poll.poll(0):
                raise BlockingIOError
            data = data[os.write(descriptor, data[:PIECE]) :]
            self._within_line = bool(data)


def descriptor_of(stream: TextIO | None) -> int | None:
    """Return the descriptor of a stream, or None if the stream has no descriptor."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # io.UnsupportedOperation is a subclass of both
        return None


def unblocked(descriptor: int | None) -> int | None:
    """Return a non-blocking descriptor for a terminal; return any other descriptor unchanged.

    The terminal is opened a second time. The new descriptor is never closed, because a process
    opens only a few such descriptors.
    """
    if descriptor is None or not os.isatty(descriptor):
        return descriptor
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # in a container, the name of the terminal may not exist
        return descriptor
