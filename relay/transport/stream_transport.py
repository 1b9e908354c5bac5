"""Transport over a stream that is not a socket, such as `trio.SSLStream` or a memory stream."""

from __future__ import annotations

import trio

from .base import Transport
from .epoll_reader import EpollReader
from .socket_info import socket_of
from .tls_failure import classify_failure


class StreamTransport(Transport):
    """Transport over a generic `trio.abc.Stream`.

    After `send_all` of a stream has been cancelled, it is unknown how much of the data was sent. So
    the writers do not call `send_all` themselves: a task in ``nursery`` does, and the cancellation
    of a writer does not cancel this task.
    """

    __slots__ = ("_flushed", "_stream")

    def __init__(
        self, stream: trio.abc.Stream, nursery: trio.Nursery, reader: EpollReader | None = None
    ) -> None:
        super().__init__(socket_of(stream), nursery, reader)
        self._stream = stream
        self._flushed: trio.Event | None = None
        self.handshake_done = not isinstance(stream, trio.SSLStream)

    async def handshake(self) -> None:
        if isinstance(self._stream, trio.SSLStream):
            self.heard = True  # assumed, because an SSLStream does not report the first byte
            try:
                await self._stream.do_handshake()
            except trio.BrokenResourceError as error:
                self.failure = classify_failure(error.__cause__)
                raise
            self.handshake_done = True

    @property
    def half_closeable(self) -> bool:
        return isinstance(self._stream, trio.abc.HalfCloseableStream)

    @property
    def write_blocked(self) -> bool:
        return self._flushed is not None

    async def receive_some(self, max_bytes: int) -> bytes:
        if self._pushed_back:
            return self._take_pushed_back(max_bytes)
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError:
            self.broken = True
            raise

    def try_send(self, data: bytes) -> bool:
        self._unsent = bytes(self._unsent) + self._deferred + data
        self._deferred = b""
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
                self._completed_writes += 1
        except Exception:  # noqa: BLE001 - no exception of a stream may end other connections
            self.broken = True
        finally:
            self._flushed = None
            flushed.set()

    def _take(self) -> bytes | memoryview:
        """Remove and return the unsent frames. If there are none, return the deferred frames."""
        if self._unsent:
            data, self._unsent = self._unsent, b""
        else:
            data, self._deferred = self._deferred, b""
        return data

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        # After a failed TLS handshake, a graceful close would start the handshake again.
        if self.handshake_done:
            await self._stream.aclose()
        else:
            await trio.aclose_forcefully(self._stream)
