"""The bytes of one client: read by one task, written by several, whole frames at a time.

A `Transport` adds to a `trio.abc.Stream` what the relay needs and a stream does not promise:

- every writer's bytes stay together and in order, with no lock while nobody has to wait;
- a writer may be cancelled at any time: what it had not written yet is kept and goes out before
  the next writer's bytes, so a frame once begun is finished and a close frame never lands in it;
- a pong or a ping can be sent by who must not wait, at the next frame border.

What is kept is at most one write of each writer: each of them waits until it is out, or is
cancelled and does not come back.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress

import trio

from .epoll_reader import EpollReader
from .read_size import READ_SIZE, ReadSize
from .socket_info import AckState, ack_state, pending, socket_of, unsent_bytes
from .tls_failure import HandshakeFailure, TlsFailure

__all__ = ["Transport"]


class Transport(trio.abc.AsyncResource):
    """A stream that several tasks write whole frames to."""

    __slots__ = (
        "_completed_writes",
        "_deferred",
        "_epoll_reader",
        "_nursery",
        "_pushed_back",
        "_size",
        "_socket",
        "_stream",
        "_unsent",
        "broken",
        "failure",
        "handshake_done",
        "heard",
        "overhead",
        "seconds_blocked",
    )

    def __init__(
        self, stream: trio.abc.Stream, nursery: trio.Nursery, reader: EpollReader | None = None
    ) -> None:
        """Take the stream, and a nursery for what is written while nobody waits."""
        self._stream = stream
        self._socket = socket_of(stream)
        self._nursery = nursery
        self._epoll_reader = reader
        self._size = ReadSize()
        self._pushed_back = b""
        self._unsent: bytes | memoryview = b""
        self._deferred = b""
        self._completed_writes = 0
        self.handshake_done = True
        """Whether anything can be said yet; with TLS, not before its handshake."""
        self.heard = False
        """Whether a byte of an incomplete TLS handshake came."""
        self.failure = HandshakeFailure(TlsFailure.TIMEOUT)
        """Cause of an incomplete TLS handshake; a timeout, unless `handshake` found another one."""
        self.overhead = 0
        """Bytes received that were no data: those of TLS."""
        self.broken = False
        """Whether a read or a write failed, so that nothing can be sent any more."""
        self.seconds_blocked = 0.0
        """Seconds for which writers had to wait until the client took data."""

    def push_back(self, data: bytes) -> None:
        """Put back what was received but belongs to a later reader."""
        self._pushed_back = data + self._pushed_back

    def _take_pushed_back(self, max_bytes: int) -> bytes:
        data, self._pushed_back = self._pushed_back[:max_bytes], self._pushed_back[max_bytes:]
        return data

    @property
    @abstractmethod
    def write_blocked(self) -> bool:
        """Whether there are frames that the stream had no room for yet."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the system has not got rid of yet, as far as it tells."""
        return 0 if self._socket is None else unsent_bytes(self._socket)

    @property
    def pending(self) -> int:
        """Bytes of the client that the system has and the relay has not read, as far as known."""
        return 0 if self._socket is None else pending(self._socket)

    @property
    def ack_state(self) -> AckState:
        """How the client takes what is sent to it."""
        found = AckState() if self._socket is None else ack_state(self._socket)
        return AckState(
            found.acked_bytes + self._completed_writes,
            found.seconds_since_ack,
            found.unacked_probes,
        )

    @property
    def half_closeable(self) -> bool:
        """True if one direction can be ended alone; a `trio.SSLStream` cannot do that."""
        return isinstance(self._stream, trio.abc.HalfCloseableStream)

    async def drain_and_wait_eof(self) -> None:
        """Say that nothing more comes, and read and discard until the client leaves.

        Closing a socket with unread data resets it, which can destroy the last words sent to a
        client that is still sending. The caller bounds the time.
        """
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.send_eof()
            await self.receive_until(is_end, READ_SIZE)

    async def send_eof(self) -> None:
        """Say that nothing more comes, where one direction can be ended alone."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def wait_hangup(self) -> None:
        """Wait until the client left, without reading; forever where that cannot be known.

        Sets `broken` if it left by a reset.
        """
        if self._socket is None or self._epoll_reader is None:
            await trio.sleep_forever()
        try:
            self.broken = await self._epoll_reader.wait_hangup(self._socket.fileno())
        except OSError:  # the system watches no more sockets; what the client sent stays
            await trio.sleep_forever()

    async def aclose(self) -> None:
        """Close the stream, gracefully if there is time; if cancelled, at once."""
        await self._stream.aclose()

    async def handshake(self) -> None:
        """Do what comes before everything else: the handshake of TLS.

        Raises trio.BrokenResourceError if it fails.
        """

    @abstractmethod
    async def receive_some(self, max_bytes: int) -> bytes:
        """Wait for the next bytes, at most max_bytes; b"" is the end of the stream.

        Cancelling it loses nothing. Raises trio.BrokenResourceError, and sets `broken`, if the
        stream failed, and trio.ClosedResourceError if the relay closed it.
        """

    async def receive_until(self, take: Callable[[bytes], bool], max_bytes: int) -> None:
        """Give take what comes, at most max_bytes at once, until it returns True.

        b"" is the end of the stream. take must not wait. It gets less at once if it takes long, so
        that other tasks have their turn. Otherwise as `receive_some`.
        """
        over, size = False, self._size
        while not over:
            data = await self.receive_some(min(max_bytes, size.bytes))
            began = trio.current_time()
            over = take(data)
            size.adapt(trio.current_time() - began)

    def look(self, max_bytes: int) -> bytes | None:
        """Return what is there, at most max_bytes, without waiting; None if that is not known.

        Raises trio.BrokenResourceError if the stream failed.
        """
        return None

    async def send_all(self, data: bytes) -> None:
        """Send data, which is whole frames, and return when all of it is out.

        If cancelled, the rest of data is kept and goes out with the next call. Not always a
        checkpoint. Raises trio.BrokenResourceError, and sets `broken`, if the stream failed, and
        trio.ClosedResourceError if the relay closed it.
        """
        if not self.try_send(data):
            await self.flush()

    async def flush(self) -> None:
        """Send what was not sent yet, and return when all of it is out. Otherwise as `send_all`."""
        since = trio.current_time()
        try:
            await self._flush()
        finally:
            self.seconds_blocked += trio.current_time() - since

    def send_deferred(self, data: bytes) -> None:
        """Send data, which is whole frames, without waiting for it.

        While others wait for room it is kept for the next frame border, and a later call replaces
        it. What goes wrong is for the reader of the wire to find.
        """
        if self.write_blocked:
            self._deferred = data
            return
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if not self.try_send(data):
                self._nursery.start_soon(self._flush_quietly)

    async def _flush_quietly(self) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._flush()

    @abstractmethod
    def try_send(self, data: bytes) -> bool:
        """Send what can be sent of data without waiting; return whether that was all.

        If it was not, `flush` must be called. Raises what `send_all` raises.
        """

    @abstractmethod
    async def _flush(self) -> None:
        """Send what was not sent yet."""


def is_end(data: bytes) -> bool:
    """Return True at the end of a stream."""
    return not data
