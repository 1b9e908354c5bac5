"""Transport over the descriptor of a socket."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import trio

from .accepted_socket import Socket
from .base import Transport
from .epoll_reader import EpollReader
from .epoll_registration import Read, Take

__all__ = ["SocketTransport"]


class SocketTransport(Transport):
    """Transport that reads and writes the non-blocking descriptor of a TCP or Unix socket.

    This transport needs half as much CPU time per message as a `trio.SocketStream`, whose methods
    are checkpoints even if they do not have to wait.
    """

    __slots__ = ("_behind", "_fd", "_flushing")

    _socket: Socket

    def __init__(
        self, sock: Socket, nursery: trio.Nursery, reader: EpollReader | None = None
    ) -> None:
        super().__init__(sock, nursery, reader)
        # -1 once the socket is closed, because the kernel reuses the number of the descriptor.
        self._fd = sock.fileno()
        # Held by the task that waits until the descriptor is writable; None until a write blocks.
        self._flushing: trio.Lock | None = None
        self._behind = b""  # frames queued after `_unsent`

    @property
    def half_closeable(self) -> bool:
        return True

    @property
    def write_blocked(self) -> bool:
        return bool(self._unsent)

    def _read_now(self, max_bytes: int) -> bytes:
        """Return at most ``max_bytes`` bytes without waiting; b"" is the end of the stream.

        Raises BlockingIOError if no bytes are available, and another OSError or
        trio.BrokenResourceError if the connection failed.
        """
        return (
            self._take_pushed_back(max_bytes) if self._pushed_back else self._read_bytes(max_bytes)
        )

    def _read_bytes(self, max_bytes: int) -> bytes:
        """Read the descriptor without decrypting the data. Exceptions are as in `_read_now`."""
        return os.read(self._descriptor(), max_bytes)

    def _has_more(self) -> bool:
        """Return True if `_read_now` has a result without reading the descriptor."""
        return bool(self._pushed_back)

    def look(self, max_bytes: int) -> bytes | None:
        try:
            return self._read_now(max_bytes)
        except BlockingIOError:
            return None
        except OSError as error:  # the kernel reports a reset only once
            self.broken = True
            raise trio.BrokenResourceError from error

    async def receive_some(self, max_bytes: int) -> bytes:
        received: list[bytes] = []

        def take(data: bytes) -> bool:
            received.append(data)
            return True

        await self.receive_until(take, max_bytes)
        return received[0]

    async def receive_until(self, take: Take, max_bytes: int) -> None:
        while self._has_more():
            if take(self._read_now(min(max_bytes, self._size.bytes))):
                return
            # Let other tasks run between the reads, because a lot of data may be pushed back.
            await trio.lowlevel.checkpoint()
        try:
            await self._read_rest(take, max_bytes)
        except OSError as error:
            self.broken = True
            raise trio.BrokenResourceError from error

    def _read_rest(self, take: Take, max_bytes: int) -> Coroutine[Any, Any, None]:
        """Read the descriptor and call ``take``, after the pushed-back bytes have been read."""
        return self._read_until(take, max_bytes)

    def _read_until(
        self,
        take: Take,
        max_bytes: int,
        read: Read | None = None,
        has_more: Callable[[], bool] | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Return a coroutine that reads with the epoll reader, or by itself if there is none.

        The caller must await the coroutine immediately, and handle an OSError. If this method were
        a coroutine too, each idle side would need memory for both.
        """
        fd = self._descriptor()
        if self._epoll_reader is not None:
            return self._epoll_reader.read_until(
                fd, take, max_bytes, self._size, read=read, has_more=has_more
            )
        return self._read_in_task(fd, take, max_bytes, read or partial(os.read, fd), has_more)

    async def _read_in_task(
        self,
        fd: int,
        take: Take,
        max_bytes: int,
        read: Read,
        has_more: Callable[[], bool] | None,
    ) -> None:
        over = False
        while not over:
            await trio.lowlevel.wait_readable(fd)
            with suppress(BlockingIOError):  # a readable descriptor may have no data
                over = take(read(min(max_bytes, self._size.bytes)))
            while has_more is not None and has_more() and not over:
                await trio.lowlevel.checkpoint()
                over = take(read(min(max_bytes, self._size.bytes)))

    def try_send(self, data: bytes) -> bool:
        if self.broken:
            raise trio.BrokenResourceError
        if self._unsent:
            self._behind += self._deferred + data
            self._deferred = b""
            return self._write()
        if data and (sent := self._write_bytes(data)) < len(data):
            self._unsent = memoryview(data)[sent:]
            return False
        return True

    def _write(self) -> bool:
        """Write buffered bytes until the socket is full. Return True if all bytes are written."""
        while unsent := self._unsent:
            sent = self._write_bytes(unsent)
            if sent < len(unsent):
                self._unsent = memoryview(unsent)[sent:]
                return False
            self._unsent = self._next()
        return True

    def _write_bytes(self, data: bytes | memoryview) -> int:
        """Write once. Return the number of bytes that the socket accepted; 0 if it is full."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._descriptor()  # raises if the relay closed the stream
            self._break()
            raise trio.BrokenResourceError from error

    def _next(self) -> bytes:
        """Remove and return the next bytes to write: the frames that are queued after `_unsent`."""
        data, self._behind = self._behind, b""
        return data

    def _break(self) -> None:
        """Set `broken`, and discard all buffered bytes."""
        self.broken = True
        self._unsent = self._behind = self._deferred = b""

    async def _flush(self) -> None:
        if self._flushing is None:
            self._flushing = trio.Lock()
        async with self._flushing:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._descriptor())
                if self._write() and self._deferred:
                    later, self._deferred = self._deferred, b""
                    self.try_send(later)
                self._completed_writes += 1
        if self.broken:  # the task that held the lock found the error
            raise trio.BrokenResourceError

    async def send_eof(self) -> None:
        # `trio.SocketStream.send_eof` would leave an exception in a reference cycle. If the
        # connection failed, the next read raises the error.
        with suppress(OSError):
            self._socket.shutdown(trio.socket.SHUT_WR)

    def _descriptor(self) -> int:
        if self._fd < 0:
            raise trio.ClosedResourceError
        return self._fd

    async def aclose(self) -> None:
        # Wake the tasks that wait in trio for the descriptor. No task waits in the epoll reader.
        if self._fd >= 0 and (self._flushing is not None or self._epoll_reader is None):
            trio.lowlevel.notify_closing(self._fd)
        self._fd = -1
        self._socket.close()
