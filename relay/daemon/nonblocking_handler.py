"""Writing lines to a descriptor that may be slow, full or gone.

The relay has one thread. If it waited for whoever reads its standard error, a stuck log collector
would stop every pair, and with a socket or a pipe it would do so without a word. So a line is
written if the descriptor takes it at once, and lost otherwise; with the next line that can be
written, it is said how many were. A thread that writes would need a queue, and the queue a bound,
past which lines are lost too; those in it would go with a crash, just when they are needed.

The descriptor is not made non-blocking: that would hit every process that shares it. It is asked
instead whether it takes anything: a pipe or a socket that does takes `PIECE` bytes. A terminal may
take less; it can be opened once more, and that without blocking.
"""

from __future__ import annotations

import logging
import os
import select
from typing import Final, TextIO

__all__ = ["NonBlockingHandler", "descriptor_of"]

PIECE: Final = select.PIPE_BUF
"""Bytes that a pipe takes as a whole or not at all."""


class NonBlockingHandler(logging.Handler):
    """Writes each log record as a line to a stream's descriptor, and never waits or raises.

    A stream that has no descriptor, as in tests, is written to directly. No stream at all, as when
    the process was started with standard error closed, takes nothing: a connection may have got
    its descriptor.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._descriptor = unblocked(descriptor_of(stream))
        self._poll = select.poll()
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLOUT)
        self._lost = 0
        self._within_line = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it as lost."""
        try:
            self.write(self.format(record))
        except Exception:  # noqa: BLE001 - whatever a log line meets, the relay goes on
            self._lost += 1

    def write(self, line: str) -> None:
        """Write a finished line, or count it as lost."""
        try:
            if self._lost:
                self._write(self.format(self._loss()))
                self._lost = 0
            self._write(line)
        except (OSError, ValueError):  # no room, nobody there, or a stream that was closed
            self._lost += 1

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
        """Write a line; raise OSError or ValueError if not all of it was taken."""
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
    """Return the descriptor under a stream, if there is one."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # both are what io.UnsupportedOperation is
        return None


def unblocked(descriptor: int | None) -> int | None:
    """Return a descriptor for the same that never blocks, if it is a terminal that has a name.

    It is never closed: there is one for a process.
    """
    if descriptor is None or not os.isatty(descriptor):
        return descriptor
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # in a container its name may lead nowhere
        return descriptor
