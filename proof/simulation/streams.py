"""Memory streams with bounded buffers, seeded cuts and delays, and the failures of a network."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

import trio

from .plan import Line

CUTS: Final = 60
"""Number of reads and writes that a line cuts. More of them would only make a run slow."""

MIN_CAPACITY: Final = 4096
"""Minimum capacity in bytes of a line after its cuts."""

Log = Callable[[str, int], None]
"""Function that records an operation and its number of bytes."""


class Channel:
    """One direction of a stream: a buffer between a writer and a reader."""

    def __init__(self, line: Line, rng: Random, log: Log) -> None:
        self._line = line
        self._rng = rng
        self._log = log
        self._data = bytearray()
        self._changed = trio.lowlevel.ParkingLot()
        self._cuts = CUTS if line.cut else 0
        self.written = 0
        """Number of bytes that the writer has written."""
        self.read = 0
        """Number of bytes that the reader has read."""
        self.ended = False
        """True once the writer has ended the direction."""
        self.deaf = False
        """True once the reader has closed its end."""
        self.broken = False
        """True once the connection was reset."""

    def change(self, *, ended: bool = False, deaf: bool = False, broken: bool = False) -> None:
        """Set the flags given, and wake the reader and the writer."""
        self.ended |= ended
        self.deaf |= deaf
        self.broken |= broken
        if broken:
            self._data.clear()
        self._changed.unpark_all()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all bytes; raise trio.BrokenResourceError if nobody will read them."""
        view = memoryview(data)
        await self._delay()
        while True:
            if self.ended:
                raise trio.ClosedResourceError
            if self.broken or self.deaf:
                raise trio.BrokenResourceError
            room = min(len(view), self._capacity - len(self._data))
            if view and not room:
                await self._changed.park()
                continue
            size = self._cut(room) if room else 0
            self._data += view[:size]
            self.written += size
            view = view[size:]
            self._log("write", size)
            self._changed.unpark_all()
            if not view:  # no checkpoint may follow: a cancelled write is an incomplete write
                return
            await self._delay()

    async def receive(self, max_bytes: int) -> bytes:
        """Read bytes; return b"" at the end. Cancellation loses no bytes."""
        await self._delay()
        while not self._data:
            if self.deaf:
                raise trio.ClosedResourceError
            if self.broken:
                raise trio.BrokenResourceError
            if self.ended:
                return b""
            await self._changed.park()
        size = self._cut(min(max_bytes, len(self._data)))
        data = bytes(self._data[:size])
        del self._data[:size]
        self.read += size
        self._log("read", size)
        self._changed.unpark_all()
        return data

    @property
    def _capacity(self) -> int:
        return self._line.capacity if self._cuts else max(self._line.capacity, MIN_CAPACITY)

    def _cut(self, size: int) -> int:
        if not self._cuts:
            return size
        self._cuts -= 1
        return self._rng.randint(1, min(size, self._line.cut))

    async def _delay(self) -> None:
        if self._line.delay and self._rng.random() < 0.2:
            await trio.sleep(self._rng.random() * self._line.delay)
        else:
            await trio.lowlevel.checkpoint()


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection in memory."""

    def __init__(self, incoming: Channel, outgoing: Channel) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.closed = False
        self.on_read: Callable[[], None] = lambda: None
        """Function that is called after each read."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.closed:
            raise trio.ClosedResourceError
        await self.outgoing.write(data)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        self.outgoing.change(ended=True)
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self.closed:
            raise trio.ClosedResourceError
        data = await self.incoming.receive(max_bytes or 65536)
        self.on_read()
        return data

    async def aclose(self) -> None:
        self.closed = True
        self.outgoing.change(ended=True)
        self.incoming.change(deaf=True)
        await trio.lowlevel.checkpoint()

    async def reset(self) -> None:
        """Destroy the connection with all data in its buffers."""
        self.outgoing.change(broken=True)
        self.incoming.change(broken=True)
        await trio.lowlevel.checkpoint()


class MemoryListener(trio.abc.Listener[MemoryStream]):
    """Listener whose clients are memory streams."""

    def __init__(self) -> None:
        self._backlog: list[MemoryStream] = []
        self._changed = trio.lowlevel.ParkingLot()
        self._closed = False

    def connect(self, stream: MemoryStream) -> None:
        """Offer the relay's end of a connection; raise OSError once the listener is closed."""
        if self._closed:
            raise ConnectionRefusedError("the listener is closed")
        self._backlog.append(stream)
        self._changed.unpark_all()

    async def accept(self) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        while not self._backlog:
            await self._changed.park()
        return self._backlog.pop(0)

    async def aclose(self) -> None:
        self._closed = True
        for stream in self._backlog:
            await stream.reset()
            stream.closed = True
        await trio.lowlevel.checkpoint()
