"""The two kinds of wire: over a socket's descriptor, and over any other stream."""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from .lookout import Lookout
from .wire import Wire

__all__ = ["SocketWire", "StreamWire", "open_wire"]


def open_wire(
    stream: trio.abc.Stream, nursery: trio.Nursery, lookout: Lookout | None = None
) -> Wire:
    """Return the fastest wire for this stream.

    The nursery is for what is written while nobody waits for it, and must outlive the wire, as the
    lookout must, without which a wire does all of its reading in the task that waits for it.
    """
    if isinstance(stream, trio.SocketStream):
        return SocketWire(stream, nursery, lookout)
    return StreamWire(stream, nursery, lookout)


class SocketWire(Wire):
    """A TCP or Unix socket, read and written on its non-blocking descriptor.

    That halves the CPU time per message against the methods of `trio.SocketStream`, which
    checkpoint even where nothing has to wait.
    """

    __slots__ = ("_fd", "_flushing")

    def __init__(
        self, stream: trio.SocketStream, nursery: trio.Nursery, lookout: Lookout | None = None
    ) -> None:
        super().__init__(stream, nursery, lookout)
        # Forgotten when the stream is closed: the kernel gives the number to the next connection.
        self._fd = stream.socket.fileno()
        self._flushing = trio.Lock()  # one task at a time may wait for the descriptor

    @property
    def blocked(self) -> bool:
        return bool(self._unsent)

    async def receive_some(self, max_bytes: int) -> bytes:
        if self._unread:
            return self._reread(max_bytes)
        while True:
            await trio.lowlevel.wait_readable(self._descriptor())
            try:
                return os.read(self._descriptor(), max_bytes)
            except BlockingIOError:  # readable is a hint: another reader or a bad checksum
                continue
            except OSError as error:
                self.broken = True
                raise trio.BrokenResourceError from error

    async def receive_until(self, take: Callable[[bytes], bool], max_bytes: int) -> None:
        while self._unread:
            if take(self._reread(max_bytes)):
                return
        if self._lookout is None:
            await super().receive_until(take, max_bytes)
            return
        try:
            await self._lookout.read_until(self._descriptor(), take, max_bytes, self._size)
        except OSError as error:
            self.broken = True
            raise trio.BrokenResourceError from error

    async def receive_first(self, max_bytes: int) -> bytes:
        try:
            return os.read(self._descriptor(), max_bytes)
        except OSError:
            return await self.receive_some(max_bytes)

    def send_now(self, data: bytes | memoryview) -> bool:
        if self.broken:
            raise trio.BrokenResourceError
        if self._unsent:
            data = bytes(self._unsent) + self._later + data
            self._later = b""
        self._unsent = data
        try:
            sent = os.write(self._descriptor(), data)
        except BlockingIOError:
            return False
        except OSError as error:
            self.broken = True
            self._unsent = self._later = b""
            raise trio.BrokenResourceError from error
        self._unsent = memoryview(data)[sent:] if sent < len(data) else b""
        return not self._unsent

    async def _flush(self) -> None:
        async with self._flushing:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._descriptor())
                rest, self._unsent = self._unsent, b""
                if self.send_now(rest) and self._later:
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


class StreamWire(Wire):
    """Any other stream: TLS, or memory.

    A cancelled `send_all` of such a stream has sent an unknown part, so it runs in a task of its
    own in the given nursery, which outlives the writer.
    """

    __slots__ = ("_flushed",)

    def __init__(
        self, stream: trio.abc.Stream, nursery: trio.Nursery, lookout: Lookout | None = None
    ) -> None:
        super().__init__(stream, nursery, lookout)
        self._flushed: trio.Event | None = None
        self.begun = not isinstance(stream, trio.SSLStream)

    async def begin(self) -> None:
        if isinstance(self._stream, trio.SSLStream):
            await self._stream.do_handshake()
            self.begun = True

    @property
    def blocked(self) -> bool:
        return self._flushed is not None

    async def receive_some(self, max_bytes: int) -> bytes:
        if self._unread:
            return self._reread(max_bytes)
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError:
            self.broken = True
            raise

    def send_now(self, data: bytes) -> bool:
        self._unsent = bytes(self._unsent) + self._later + data
        self._later = b""
        return False

    async def _flush(self) -> None:
        if self._flushed is None:
            self._flushed = trio.Event()
            self._nursery.start_soon(self._write, self._flushed)
        await self._flushed.wait()
        if self.broken:
            raise trio.BrokenResourceError

    async def _write(self, flushed: trio.Event) -> None:
        try:
            while data := self._take():
                await self._stream.send_all(data)
                self._progress += 1
        except Exception:  # noqa: BLE001 - of any kind: it may not end the other connections
            self.broken = True
        finally:
            self._flushed = None
            flushed.set()

    def _take(self) -> bytes | memoryview:
        """Return what is to be sent next, and keep it no more."""
        if self._unsent:
            data, self._unsent = self._unsent, b""
        else:
            data, self._later = self._later, b""
        return data

    async def aclose(self) -> None:
        # Closing TLS gracefully would begin with the handshake that did not come about.
        if self.begun:
            await super().aclose()
        else:
            await trio.aclose_forcefully(self._stream)
