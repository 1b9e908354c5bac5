"""Byte stream of one client. One task reads the stream, and several tasks write frames to it.

A `Transport` adds guarantees that a `trio.abc.Stream` does not give:

- The bytes of each write stay together and in order. A write needs a lock only while the stream is
  blocked.
- A writer may be cancelled at any time. Its unsent bytes are buffered, and are sent before the next
  write. So each frame is sent completely, and a close frame is never sent within another frame.
- `Transport.send_deferred` sends a ping or a pong at the next frame boundary, without waiting.

A writer waits until all its bytes are sent, and a cancelled writer never writes again. So the
buffer contains at most one write from each writer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress

import trio

from .accepted_socket import Socket
from .epoll_reader import EpollReader
from .read_size import READ_SIZE, ReadSize
from .socket_info import AckState, ack_state, pending, unsent_bytes
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
        "_unsent",
        "broken",
        "failure",
        "handshake_done",
        "heard",
        "overhead",
        "seconds_blocked",
    )

    def __init__(
        self, sock: Socket | None, nursery: trio.Nursery, reader: EpollReader | None = None
    ) -> None:
        """Store the socket, if any. ``nursery`` runs the writes that no task waits for."""
        self._socket = sock
        self._nursery = nursery
        self._epoll_reader = reader
        self._size = ReadSize()
        self._pushed_back = b""
        self._unsent: bytes | memoryview = b""
        self._deferred = b""
        self._completed_writes = 0
        self.handshake_done = True
        """True if frames can be sent; False only while a TLS handshake is incomplete."""
        self.heard = False
        """True if the client sent at least one byte of the TLS handshake."""
        self.failure = HandshakeFailure(TlsFailure.TIMEOUT)
        """Cause of a failed TLS handshake: a timeout, unless `handshake` sets another cause."""
        self.overhead = 0
        """Number of bytes that TLS added to the received plaintext."""
        self.broken = False
        """True once a read or a write has failed. From then on, no bytes can be sent."""
        self.seconds_blocked = 0.0
        """Total time, in seconds, that writers waited because the stream was blocked."""

    def push_back(self, data: bytes) -> None:
        """Put received bytes back. The next read returns them before any other bytes."""
        self._pushed_back = data + self._pushed_back

    def _take_pushed_back(self, max_bytes: int) -> bytes:
        data, self._pushed_back = self._pushed_back[:max_bytes], self._pushed_back[max_bytes:]
        return data

    @property
    @abstractmethod
    def write_blocked(self) -> bool:
        """True if frames are buffered because the stream has not accepted them yet."""

    @property
    def unsent_bytes(self) -> int:
        """Number of bytes in the send queue of the socket; 0 if there is no socket."""
        return 0 if self._socket is None else unsent_bytes(self._socket)

    @property
    def pending(self) -> int:
        """Number of bytes in the receive queue of the socket; 0 if there is no socket."""
        return 0 if self._socket is None else pending(self._socket)

    @property
    def ack_state(self) -> AckState:
        """Acknowledgements from the client's kernel.

        Each completed write also adds 1 to `AckState.acked_bytes`. A stream without a socket gets
        no acknowledgements from a kernel, so completed writes are its only sign of progress.
        """
        found = AckState() if self._socket is None else ack_state(self._socket)
        return AckState(
            found.acked_bytes + self._completed_writes,
            found.seconds_since_ack,
            found.unacked_probes,
        )

    @property
    @abstractmethod
    def half_closeable(self) -> bool:
        """True if the stream can end its send direction and still receive data.

        A `trio.SSLStream` cannot do this.
        """

    async def drain_and_wait_eof(self) -> None:
        """End the send direction, then discard received bytes until the client ends its stream.

        If the relay closed a socket with unread data, the kernel would reset the connection. The
        reset could destroy the last frame or response before the client reads it. The caller must
        limit the duration of this method.
        """
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.send_eof()
            await self.receive_until(is_end, READ_SIZE)

    @abstractmethod
    async def send_eof(self) -> None:
        """End the send direction if `half_closeable` is True. Otherwise, do nothing."""

    async def wait_hangup(self) -> None:
        """Wait, without reading, until the client ends its stream. Set `broken` after a reset.

        Wait forever if the platform or the stream does not report the end of the stream.
        """
        if self._socket is None or self._epoll_reader is None:
            await trio.sleep_forever()
        try:
            self.broken = await self._epoll_reader.wait_hangup(self._socket.fileno())
        except OSError:  # no descriptor can be added to the epoll set
            await trio.sleep_forever()

    async def handshake(self) -> None:
        """Do the TLS handshake, if the transport uses TLS.

        No other method may read or write before this one returns. Raises trio.BrokenResourceError
        if the handshake fails.
        """

    @abstractmethod
    async def receive_some(self, max_bytes: int) -> bytes:
        """Wait for the next bytes and return at most ``max_bytes``; b"" is the end of the stream.

        Cancellation loses no bytes. If the stream failed, `broken` is set and
        trio.BrokenResourceError is raised. If the relay has closed the stream,
        trio.ClosedResourceError is raised.
        """

    async def receive_until(self, take: Callable[[bytes], bool], max_bytes: int) -> None:
        """Read repeatedly and pass the bytes of each read to ``take``, until ``take`` returns True.

        ``take`` must not wait. It gets b"" at the end of the stream. A read returns at most
        ``max_bytes``. If ``take`` needs too much time, the next reads are smaller, so that other
        tasks can run sooner. Cancellation and exceptions are as in `receive_some`.
        """
        over, size = False, self._size
        while not over:
            data = await self.receive_some(min(max_bytes, size.bytes))
            began = trio.current_time()
            over = take(data)
            size.adapt(trio.current_time() - began)

    def look(self, max_bytes: int) -> bytes | None:
        """Read at most ``max_bytes`` without waiting. Return None if no bytes are available.

        The result is always None for a generic stream, which cannot be read without waiting. Raises
        trio.BrokenResourceError if the stream failed.
        """
        return None

    async def send_all(self, data: bytes) -> None:
        """Send complete frames, and return when all bytes are sent.

        After a cancellation, the unsent bytes stay buffered, and the next write sends them first.
        This method is a checkpoint only if it has to wait. If the stream failed, `broken` is set
        and trio.BrokenResourceError is raised. If the relay has closed the stream,
        trio.ClosedResourceError is raised.
        """
        if not self.try_send(data):
            await self.flush()

    async def flush(self) -> None:
        """Send the buffered bytes. Cancellation and exceptions are as in `send_all`."""
        since = trio.current_time()
        try:
            await self._flush()
        finally:
            self.seconds_blocked += trio.current_time() - since

    def send_deferred(self, data: bytes) -> None:
        """Send complete frames without waiting.

        While writes are blocked, the frames are deferred to the next frame boundary, and replace
        any frames that are already deferred. This method does not raise the error of a failed
        write; the next read raises it.
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
        """Send as many bytes as possible without waiting. Return True if all bytes are sent.

        If the result is False, the caller must call `flush`. Exceptions are as in `send_all`.
        """

    @abstractmethod
    async def _flush(self) -> None:
        """Send the buffered bytes as `flush` does, but do not add to `seconds_blocked`."""


def is_end(data: bytes) -> bool:
    """Return True if ``data`` is b"", which is the end of the stream."""
    return not data
