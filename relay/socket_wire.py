"""A wire over the descriptor of a socket."""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from .lookout import Lookout
from .wire import Wire

__all__ = ["SocketWire"]

Take = Callable[[bytes], bool]


class SocketWire(Wire):
    """A TCP or Unix socket, read and written on its non-blocking descriptor.

    That halves the CPU time per message against the methods of `trio.SocketStream`, which
    checkpoint even where nothing has to wait.
    """

    __slots__ = ("_behind", "_fd", "_flushing")

    def __init__(
        self, stream: trio.SocketStream, nursery: trio.Nursery, lookout: Lookout | None = None
    ) -> None:
        super().__init__(stream, nursery, lookout)
        # Forgotten when the stream is closed: the kernel gives the number to the next connection.
        self._fd = stream.socket.fileno()
        self._flushing = trio.Lock()  # one task at a time may wait for the descriptor
        self._behind = b""  # frames that were sent while the socket had no room for `_unsent`

    @property
    def blocked(self) -> bool:
        return bool(self._unsent)

    async def receive_some(self, max_bytes: int) -> bytes:
        if self._unread:
            return self._reread(max_bytes)
        return await self._read(max_bytes)

    async def receive_until(self, take: Take, max_bytes: int) -> None:
        while self._unread:
            if take(self._reread(max_bytes)):
                return
        if self._lookout is None:
            await super().receive_until(take, max_bytes)
            return
        try:
            await self._lookout.read_until(
                self._descriptor(), self._reader(take, max_bytes), max_bytes, self._size
            )
        except OSError as error:
            self.broken = True
            raise trio.BrokenResourceError from error

    async def receive_first(self, max_bytes: int) -> bytes:
        return await self._read_first(max_bytes)

    def _reader(self, take: Take, max_bytes: int) -> Take:
        """Return the call that takes the bytes of the descriptor, where take takes those sent."""
        return take

    async def _read(self, max_bytes: int) -> bytes:
        """Wait for bytes of the descriptor, and return them as they are."""
        while True:
            await trio.lowlevel.wait_readable(self._descriptor())
            try:
                return os.read(self._descriptor(), max_bytes)
            except BlockingIOError:  # readable is a hint: another reader or a bad checksum
                continue
            except OSError as error:
                self.broken = True
                raise trio.BrokenResourceError from error

    async def _read_first(self, max_bytes: int) -> bytes:
        """Do as `_read` does, but look before waiting."""
        try:
            return os.read(self._descriptor(), max_bytes)
        except OSError:
            return await self._read(max_bytes)

    def send_now(self, data: bytes) -> bool:
        if self.broken:
            raise trio.BrokenResourceError
        if self._unsent:
            self._behind += self._later + data
            self._later = b""
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
        self._unsent = self._behind = self._later = b""

    async def _flush(self) -> None:
        async with self._flushing:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._descriptor())
                if self._write() and self._later:
                    later, self._later = self._later, b""
                    self.send_now(later)
                self._progress += 1
        if self.broken:  # as another writer found, who had the lock
            raise trio.BrokenResourceError

    def _descriptor(self) -> int:
        if self._fd < 0:
            raise trio.ClosedResourceError
        return self._fd

    async def aclose(self) -> None:
        self._fd = -1
        await super().aclose()
