"""Standard input and output as a stream.

Other processes share the open file description, and with it the non-blocking mode. Therefore, a
pipe or a terminal is opened a second time, in non-blocking mode. Threads read and write sockets,
which cannot be opened again, and regular files, for which non-blocking mode has no effect.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import trio

# A thread that still waits for a file after a cancellation ends with the process.
in_thread = partial(trio.to_thread.run_sync, abandon_on_cancel=True)


class StandardStreamFailed(Exception):
    """Standard input or output failed. The message is empty if the reader of a pipe has ended."""


class StandardIO:
    """Standard input and output. Construction raises ValueError if standard output is closed."""

    def __init__(self, stdin: int = 0, stdout: int = 1) -> None:
        if sys.stdout is None:
            raise ValueError("standard output is closed")
        self._stdin, self._stdout = stdin, stdout
        self._input = open_again(stdin, os.O_RDONLY)
        self._output = open_again(stdout, os.O_WRONLY)
        self._reading = trio.CancelScope()
        self.is_output_complete = False  # True once `send_eof` was called

    async def receive_some(self, max_bytes: int) -> bytes | bytearray:
        """Read from standard input. When the output ends, input from a terminal also ends."""
        with trio.CancelScope() as self._reading, failures("read from standard input"):
            if self.is_output_complete and os.isatty(self._stdin):
                return b""
            if self._input is not None:
                return await self._input.receive_some(max_bytes)
            return await in_thread(read_blocking, self._stdin, max_bytes)
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Write to standard output."""
        rest = memoryview(data)
        with failures("write to standard output"):
            if self._output is None:
                await in_thread(write_blocking, self._stdout, rest)
                return
            with suppress(OSError):  # FdStream reports the failure
                # Write at once, because FdStream lets all other tasks run first.
                rest = rest[os.write(self._output.fileno(), rest) :]
            await self._output.send_all(rest)

    async def send_eof(self) -> None:
        """Close standard output. The null device replaces it, so that no file gets its number."""
        if self._output is not None:
            await self._output.aclose()
        with suppress(OSError):  # if there is no null device, keep the file open
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, self._stdout)
            os.close(null)
        self.is_output_complete = True
        if os.isatty(self._stdin):
            self._reading.cancel()


@contextmanager
def failures(operation: str) -> Iterator[None]:
    """Turn the failure of a standard stream into StandardStreamFailed."""
    try:
        yield
    except (OSError, trio.BrokenResourceError) as error:
        cause = error.__cause__ or error
        text = f"cannot {operation}: {getattr(cause, 'strerror', cause)}"
        raise StandardStreamFailed("" if isinstance(cause, BrokenPipeError) else text) from None


def open_again(descriptor: int, flags: int) -> trio.lowlevel.FdStream | None:
    """Open a pipe or a terminal again in non-blocking mode. Return None if this is not possible."""
    try:
        if not (stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor)):
            return None
        path = f"/proc/self/fd/{descriptor}"
        again = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # for example, the pipe of another user, or a pipe without a reader
        return None
    with suppress(OSError):  # the file is a terminal, or the size exceeds a limit
        fcntl.fcntl(again, fcntl.F_SETPIPE_SZ, 1 << 20)  # 64 KiB would need more system calls
    return trio.lowlevel.FdStream(again)


def read_blocking(descriptor: int, size: int) -> bytes:
    """Read from a descriptor. Block even if another process has made it non-blocking."""
    while True:
        select.select([descriptor], [], [])
        with suppress(BlockingIOError):
            return os.read(descriptor, size)


def write_blocking(descriptor: int, data: memoryview) -> None:
    """Write all data to a descriptor. Block even if another process has made it non-blocking."""
    while data:
        select.select([], [descriptor], [])
        with suppress(BlockingIOError):
            data = data[os.write(descriptor, data) :]
