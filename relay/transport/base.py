"""The byte stream of one client: one task reads it, several tasks write complete frames to it.

A `Transport` adds guarantees that a `trio.abc.Stream` does not give:

- The bytes of each write stay together and in order. No lock is taken unless the stream is blocked.
- A writer may be cancelled at any time. Its unsent bytes are buffered and sent before the next
  write, so a frame is always completed and a close frame never interrupts another frame.
- `Transport.send_deferred` sends a ping or a pong without waiting, at the next frame boundary.

The buffer has at most one write of each writer, because a writer waits until its bytes are sent. A
cancelled writer never writes again.
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


class Transport(trio.abc.AsyncResource):
    """A byte stream to which several tasks write complete frames."""

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
        """Wrap a stream. The nursery runs the writes for which no caller waits."""
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
        """True if frames can be sent: always, except before the end of a TLS handshake."""
        self.heard = False
        """True if the client sent at least one byte of the TLS handshake."""
        self.failure = HandshakeFailure(TlsFailure.TIMEOUT)
        """Cause of a failed TLS handshake. It is a timeout unless `handshake` set another cause."""
        self.overhead = 0
        """Number of received bytes that were not plaintext: the overhead of TLS."""
        self.broken = False
        """True after a read or a write failed. No more bytes can be sent."""
        self.seconds_blocked = 0.0
        """Total time in seconds for which writers waited, because the stream was blocked."""

    def push_back(self, data: bytes) -> None:
        """Return received bytes to the transport, for the next read."""
        self._pushed_back = data + self._pushed_back

    def _take_pushed_back(self, max_bytes: int) -> bytes:
        data, self._pushed_back = self._pushed_back[:max_bytes], self._pushed_back[max_bytes:]
        return data

    @property
    @abstractmethod
    def write_blocked(self) -> bool:
        """True if frames are buffered because the stream has no room for them."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes in the send queue of the socket; 0 if there is no socket."""
        return 0 if self._socket is None else unsent_bytes(self._socket)

    @property
    def pending(self) -> int:
        """Bytes in the receive queue of the socket; 0 if there is no socket."""
        return 0 if self._socket is None else pending(self._socket)

    @property
    def ack_state(self) -> AckState:
        """Acknowledgements of the client, with completed writes added to the acknowledged bytes."""
        found = AckState() if self._socket is None else ack_state(self._socket)
        return AckState(
            found.acked_bytes + self._completed_writes,
            found.seconds_since_ack,
            found.unacked_probes,
        )

    @property
    def half_closeable(self) -> bool:
        """True if the send direction can end alone, which a `trio.SSLStream` does not support."""
        return isinstance(self._stream, trio.abc.HalfCloseableStream)

    async def drain_and_wait_eof(self) -> None:
        """End the send direction. Then discard received bytes until the client ends its direction.

        Closing a socket with unread data resets it. The reset can destroy the last frame or
        response if the client is still sending. The caller bounds the time.
        """
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.send_eof()
            await self.receive_until(is_end, READ_SIZE)

    async def send_eof(self) -> None:
        """End the send direction, if the stream supports that."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def wait_hangup(self) -> None:
        """Wait without reading until the client ends its stream; set `broken` after a reset.

        Never returns if the platform or the stream does not report the end.
        """
        if self._socket is None or self._epoll_reader is None:
            await trio.sleep_forever()
        try:
            self.broken = await self._epoll_reader.wait_hangup(self._socket.fileno())
        except OSError:  # the epoll set is full; unread data stays in the socket
            await trio.sleep_forever()

    async def aclose(self) -> None:
        """Close the stream gracefully, or at once if cancelled."""
        await self._stream.aclose()

    async def handshake(self) -> None:
        """Do the TLS handshake, if the transport has TLS. It precedes all reads and writes.

        Raises trio.BrokenResourceError if the handshake fails.
        """

    @abstractmethod
    async def receive_some(self, max_bytes: int) -> bytes:
        """Wait for the next bytes, at most max_bytes; b"" is the end of the stream.

        Cancellation loses no bytes. Raises trio.BrokenResourceError and sets `broken` if the stream
        failed; raises trio.ClosedResourceError if the relay closed it.
        """

    async def receive_until(self, take: Callable[[bytes], bool], max_bytes: int) -> None:
        """Read and call ``take`` with the bytes, until it returns True.

        b"" is the end of the stream. A read has at most max_bytes, and fewer if ``take`` runs for
        long, so that other tasks run in time. ``take`` must not wait. Cancellation and exceptions
        are those of `receive_some`.
        """
        over, size = False, self._size
        while not over:
            data = await self.receive_some(min(max_bytes, size.bytes))
            began = trio.current_time()
            over = take(data)
            size.adapt(trio.current_time() - began)

    def look(self, max_bytes: int) -> bytes | None:
        """Return at most max_bytes without waiting, or None if no bytes are available.

        Always None for a generic stream, which cannot be read without waiting.

        Raises trio.BrokenResourceError if the stream failed.
        """
        return None

    async def send_all(self, data: bytes) -> None:
        """Send complete frames, and return when all bytes are sent.

        After a cancellation the unsent bytes stay buffered, and the next call sends them. Not
        always a checkpoint. Raises trio.BrokenResourceError and sets `broken` if the stream failed;
        raises trio.ClosedResourceError if the relay closed it.
        """
        if not self.try_send(data):
            await self.flush()

    async def flush(self) -> None:
        """Send the buffered bytes. Cancellation and exceptions are those of `send_all`."""
        since = trio.current_time()
        try:
            await self._flush()
        finally:
            self.seconds_blocked += trio.current_time() - since

    def send_deferred(self, data: bytes) -> None:
        """Send complete frames without waiting.

        While writes are blocked, the frames are deferred to the next frame boundary, and replace
        frames that are already deferred. The next read raises the error of a failed write.
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
        """Send as many bytes as possible without waiting; return True if all bytes are sent.

        Otherwise the caller must call `flush`. Raises the exceptions of `send_all`.
        """

    @abstractmethod
    async def _flush(self) -> None:
        """Send the buffered bytes. Only `flush` calls this method, and measures its time."""


def is_end(data: bytes) -> bool:
    """Return True if a read returned b"", the end of the stream."""
    return not data
