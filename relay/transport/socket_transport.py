"""A wire over the descriptor of a socket."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from .base import Transport
from .epoll_reader import EpollReader, Read, Take

__all__ = ["SocketTransport"]


class SocketTransport(Transport):
    """A TCP or Unix socket, read and written on its non-blocking descriptor.

    That halves the CPU time per message against the methods of `trio.SocketStream`, which
    checkpoint even where nothing has to wait.
    """

    __slots__ = ("_behind", "_fd", "_flushing")

    _socket: trio.socket.SocketType

    def __init__(
        self, stream: trio.SocketStream, nursery: trio.Nursery, reader: EpollReader | None = None
    ) -> None:
        super().__init__(stream, nursery, reader)
        # Forgotten when the stream is closed: the kernel gives the number to the next connection.
        self._fd = stream.socket.fileno()
        self._flushing = trio.Lock()  # one task at a time may wait for the descriptor
        self._behind = b""  # frames that were sent while the socket had no room for `_unsent`

    @property
    def write_blocked(self) -> bool:
        return bool(self._unsent)

    def _read_now(self, max_bytes: int) -> bytes:
        """Return what is there, at most max_bytes; b"" is the end of the stream.

        Raises BlockingIOError if nothing is there, and OSError or trio.BrokenResourceError if the
        connection failed.
        """
        return (
            self._take_pushed_back(max_bytes) if self._pushed_back else self._read_bytes(max_bytes)
        )

    def _read_bytes(self, max_bytes: int) -> bytes:
        """Read bytes of the descriptor as they are; otherwise as `_read_now`."""
        return os.read(self._descriptor(), max_bytes)

    def _has_more(self) -> bool:
        """Return True if `_read_now` returns something, whatever the descriptor has."""
        return bool(self._pushed_back)

    def look(self, max_bytes: int) -> bytes | None:
        try:
            return self._read_now(max_bytes)
        except BlockingIOError:
            return None
        except OSError as error:  # the system tells about a reset only once
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
            await trio.lowlevel.checkpoint()  # there may be much of it, and others wait
        await self._read_rest(take, max_bytes)

    async def _read_rest(self, take: Take, max_bytes: int) -> None:
        """Give take what the descriptor has, once nothing else is left."""
        await self._read_until(take, max_bytes, partial(os.read, self._descriptor()))

    async def _read_until(
        self,
        take: Take,
        max_bytes: int,
        read: Read,
        has_more: Callable[[], bool] | None = None,
    ) -> None:
        """Give take what read returns, as `Lookout.read_until` does, also without a lookout."""
        try:
            if self._epoll_reader is not None:
                await self._epoll_reader.read_until(
                    self._descriptor(), take, max_bytes, self._size, read=read, has_more=has_more
                )
                return
            over = False
            while not over:
                await trio.lowlevel.wait_readable(self._descriptor())
                with suppress(BlockingIOError):  # readable is a hint
                    over = take(read(min(max_bytes, self._size.bytes)))
                while has_more is not None and has_more() and not over:
                    await trio.lowlevel.checkpoint()
                    over = take(read(min(max_bytes, self._size.bytes)))
        except OSError as error:
            self.broken = True
            raise trio.BrokenResourceError from error

    def try_send(self, data: bytes) -> bool:
        if self.broken:
            raise trio.BrokenResourceError
        if self._unsent:
            self._behind += self._deferred + data
            self._deferred = b""
        else:
            self._unsent = data
        return self._write()

    def _write(self) -> bool:
        """Write what the socket takes; return True if nothing is left."""
        try:
            while unsent := self._unsent:
                sent = os.write(self._descriptor(), unsent)
                if sent < len(unsent):
                    self._unsent = memoryview(unsent)[sent:]
                    break
                self._unsent = self._next()
        except BlockingIOError:
            pass
        except OSError as error:
            self._break()
            raise trio.BrokenResourceError from error
        return not self._unsent

    def _next(self) -> bytes:
        """Return the bytes to write once `_unsent` is out."""
        data, self._behind = self._behind, b""
        return data

    def _break(self) -> None:
        """Note that nothing can be sent any more, and keep nothing for it."""
        self.broken = True
        self._unsent = self._behind = self._deferred = b""

    async def _flush(self) -> None:
        async with self._flushing:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._descriptor())
                if self._write() and self._deferred:
                    later, self._deferred = self._deferred, b""
                    self.try_send(later)
                self._completed_writes += 1
        if self.broken:  # as another writer found, who had the lock
            raise trio.BrokenResourceError

    async def send_eof(self) -> None:
        # The method of the stream would leave an exception in a reference cycle. The next read
        # finds a connection that is gone.
        with suppress(OSError):
            self._socket.shutdown(trio.socket.SHUT_WR)

    def _descriptor(self) -> int:
        if self._fd < 0:
            raise trio.ClosedResourceError
        return self._fd

    async def aclose(self) -> None:
        self._fd = -1
        await super().aclose()
