"""Standard input and output as trio streams.

Non-blocking mode is a property of the open file description, which other processes may share.
Therefore, this module opens a pipe or a terminal a second time, in non-blocking mode. Threads read
and write files that cannot be opened again, such as sockets, and regular files, for which
non-blocking mode has no effect.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
from contextlib import suppress
from typing import Final

import trio

from .copying import PIECE

STDIN, STDOUT = 0, 1

PIPE_SIZE: Final = 1 << 20
"""Size, in bytes, of a pipe. It is larger than the default of Linux (64 KiB), so that fewer system
calls are needed."""


def open_standard_io() -> trio.StapledStream[DescriptorWriter, DescriptorReader]:
    """Return standard input and output as one stream. Its `send_eof` closes standard output."""
    return trio.StapledStream(DescriptorWriter(STDOUT), DescriptorReader(STDIN))


class DescriptorReader(trio.abc.ReceiveStream):
    """Stream that reads from a descriptor. It never closes the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stream = open_again(descriptor, os.O_RDONLY)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        size = max_bytes or PIECE
        if self._stream is not None:
            return bytes(await self._stream.receive_some(size))
        try:
            # A thread that still waits for input after a cancellation ends with the process.
            return await trio.to_thread.run_sync(
                read_blocking, self._descriptor, size, abandon_on_cancel=True
            )
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
        await trio.lowlevel.checkpoint()


class DescriptorWriter(trio.abc.SendStream):
    """Stream that writes to a descriptor.

    Closing the stream replaces the file of the descriptor with the null device. The descriptor
    itself stays open, so that no other file gets its number.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stream = open_again(descriptor, os.O_WRONLY)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._stream is not None:
            await self._stream.send_all(data)
            return
        try:
            await trio.to_thread.run_sync(
                write_blocking, self._descriptor, data, abandon_on_cancel=True
            )
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        if self._stream is not None:
            await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
        with suppress(OSError):  # if there is no null device, keep the file open
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, self._descriptor)
            os.close(null)
        await trio.lowlevel.checkpoint()


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
        fcntl.fcntl(again, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    return trio.lowlevel.FdStream(again)


def read_blocking(descriptor: int, size: int) -> bytes:
    """Read from a descriptor. Block even if another process has made it non-blocking."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            wait_for(descriptor, select.POLLIN)


def write_blocking(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all data to a descriptor. Block even if another process has made it non-blocking."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            wait_for(descriptor, select.POLLOUT)


def wait_for(descriptor: int, events: int) -> None:
    """Block until one of the poll(2) events occurs on a descriptor."""
    poll = select.poll()
    poll.register(descriptor, events)
    poll.poll()
