"""A wire over any stream that is not a socket: TLS of an embedding program, or memory."""

from __future__ import annotations

import trio

from .base import Transport
from .epoll_reader import EpollReader
from .tls_failure import failure_of

__all__ = ["StreamTransport"]


class StreamTransport(Transport):
    """Any other stream: TLS, or memory.

    A cancelled `send_all` of such a stream has sent an unknown part, so it runs in a task of its
    own in the given nursery, which outlives the writer.
    """

    __slots__ = ("_flushed",)

    def __init__(
        self, stream: trio.abc.Stream, nursery: trio.Nursery, reader: EpollReader | None = None
    ) -> None:
        super().__init__(stream, nursery, reader)
        self._flushed: trio.Event | None = None
        self.handshake_done = not isinstance(stream, trio.SSLStream)

    async def handshake(self) -> None:
        if isinstance(self._stream, trio.SSLStream):
            self.heard = True  # or not: it does not tell
            try:
                await self._stream.do_handshake()
            except trio.BrokenResourceError as error:
                self.failure = failure_of(error.__cause__)
                raise
            self.handshake_done = True

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
            data, self._deferred = self._deferred, b""
        return data

    async def aclose(self) -> None:
        # Closing TLS gracefully would begin with the handshake that did not come about.
        if self.handshake_done:
            await super().aclose()
        else:
            await trio.aclose_forcefully(self._stream)
