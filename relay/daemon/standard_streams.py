"""Write safely to standard streams that may be closed, full or broken.

This module imports nothing that takes long to import, because it runs before the other imports.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress

LAST = 2
"""Descriptor of standard error, the last of the standard streams."""


def prepare_streams(*, serving: bool) -> None:
    """Make the standard streams safe to write to; ``serving`` is True only for ``start``.

    A closed standard descriptor is opened on the null device. Otherwise, the next socket would get
    the number of that descriptor, and a client could receive output that a library writes to it.
    """
    with suppress(OSError):  # without a null device, descriptors stay closed
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= LAST:
            pass
        os.close(descriptor)
    if sys.stdout is not None:
        sys.stdout = text_stream(StandardOutput(sys.stdout.fileno()), sys.stdout.encoding)
    if serving and sys.stderr is not None:
        sys.stderr = text_stream(StandardError(sys.stderr.fileno()), sys.stderr.encoding)


def text_stream(raw: StandardStream, encoding: str) -> io.TextIOWrapper:
    """Return a text stream that flushes each line, and escapes characters not in ``encoding``."""
    binary = io.BufferedWriter(raw)
    return io.TextIOWrapper(binary, encoding, errors="backslashreplace", line_buffering=True)


class OutputFailed(OSError):
    """Writing to standard output failed, for a reason other than a closed pipe."""


class StandardStream(io.RawIOBase):
    """Raw stream that writes to a descriptor and never closes it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True


class StandardOutput(StandardStream):
    """Standard output, which raises an exception for its first failure only.

    The exception is BrokenPipeError if the reader closed the pipe, so that commands can end
    silently. For any other failure, it is `OutputFailed`. After the first failure, output is
    discarded, because the interpreter flushes the stream at exit and would report a second failure.
    """

    _broken = False

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        if self._broken:
            return len(data)
        try:
            while True:
                with suppress(BlockingIOError):  # the parent made the descriptor non-blocking
                    return os.write(self._descriptor, data)
                self._poll.poll()
        except OSError as error:
            self._broken = True
            if error.errno == errno.EPIPE:
                raise
            raise OutputFailed(error.errno, error.strerror) from None


class StandardError(StandardStream):
    """Standard error of a relay, which discards output that would block, and raises nothing.

    Log lines are written by `NonBlockingHandler`, not by this stream. Other output, such as the
    interpreter's report of an exception in a destructor, is rare, but must not block the event
    loop.
    """

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        with suppress(OSError):
            if self._poll.poll(0):
                # A writable pipe accepts PIPE_BUF bytes without blocking.
                return os.write(self._descriptor, data[: select.PIPE_BUF])
        return len(data)
