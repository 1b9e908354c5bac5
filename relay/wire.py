"""The bytes of one client: read by one task, written by several, whole frames at a time.

A `Wire` adds to a `trio.abc.Stream` what the relay needs and a stream does not promise:

- every writer's bytes stay together and in order, with no lock while nobody has to wait;
- a writer may be cancelled at any time: what it had not written yet is kept and goes out before
  the next writer's bytes, so a frame once begun is finished and a close frame never lands in it.

What is kept is at most one write of each writer: each of them waits until it is out, or is
cancelled and does not come back.
"""

from __future__ import annotations

import os
import select
import sys
from abc import abstractmethod
from contextlib import suppress
from typing import Final

import trio

__all__ = ["READ_SIZE", "SocketWire", "StreamWire", "Wire", "open_wire"]

READ_SIZE: Final = 127 * 1024
"""The most bytes that one read takes, and so about the most that one direction of a pair holds.

Larger reads are cheaper by the byte, up to where the C library maps each buffer afresh, 128 KiB.
"""


def open_wire(stream: trio.abc.Stream, nursery: trio.Nursery) -> Wire:
    """Return the fastest wire for this stream.

    The nursery must live as long as the wire is written to.
    """
    if isinstance(stream, trio.SocketStream) and sys.platform != "win32":
        return SocketWire(stream)
    return StreamWire(stream, nursery)


class Wire(trio.abc.AsyncResource):
    """A stream that several tasks write whole frames to."""

    __slots__ = ("_stream", "_unread", "_unsent", "broken")

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._unread = b""
        self._unsent: bytes | memoryview = b""
        self.broken = False
        """Whether a read or a write failed, so that nothing can be sent any more."""

    def unread(self, data: bytes) -> None:
        """Put back what was received but belongs to a later reader."""
        self._unread = data + self._unread

    def _reread(self, max_bytes: int) -> bytes:
        data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        return data

    @property
    def half_closeable(self) -> bool:
        """Whether one direction can be ended alone; TLS, as it is used here, cannot."""
        return isinstance(self._stream, trio.abc.HalfCloseableStream)

    async def linger(self) -> None:
        """Say that nothing more comes, and read and discard until the client leaves.

        Closing a socket with unread data resets it, which can destroy the last words sent to a
        client that is still sending. The caller bounds the time.
        """
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            while await self.receive_some(READ_SIZE):
                pass

    async def wait_hangup(self) -> None:
        """Wait until the client left, without reading; forever where that cannot be known.

        Sets `broken` if it left by a reset.
        """
        stream = self._stream
        if isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        if not isinstance(stream, trio.SocketStream) or not hasattr(select, "EPOLLRDHUP"):
            await trio.sleep_forever()
        try:
            hangup = select.epoll()
        except OSError:  # out of descriptors: what the client sent is worth more than its leaving
            await trio.sleep_forever()
        # trio waits for data or room, not for a hang-up alone; but an epoll set is itself
        # readable once one of its events is there.
        with hangup:
            hangup.register(stream.socket.fileno(), select.EPOLLRDHUP)
            await trio.lowlevel.wait_readable(hangup.fileno())
            self.broken = any(events & select.EPOLLERR for _, events in hangup.poll(0))

    async def aclose(self) -> None:
        """Close the stream, gracefully if there is time; if cancelled, at once."""
        await self._stream.aclose()

    @abstractmethod
    async def receive_some(self, max_bytes: int) -> bytes:
        """Wait for the next bytes, at most max_bytes; b"" is the end of the stream.

        Cancelling it loses nothing. Raises trio.BrokenResourceError, and sets `broken`, if the
        stream failed, and trio.ClosedResourceError if the relay closed it.
        """

    @abstractmethod
    async def send_all(self, data: bytes) -> None:
        """Send data, which is whole frames, and return when all of it is out.

        If cancelled, the rest of data is kept and goes out with the next call. Not always a
        checkpoint. Raises trio.BrokenResourceError, and sets `broken`, if the stream failed, and
        trio.ClosedResourceError if the relay closed it.
        """


class SocketWire(Wire):
    """A TCP or Unix socket, read and written on its non-blocking descriptor.

    That halves the CPU time per message against the methods of `trio.SocketStream`, which
    checkpoint even where nothing has to wait.
    """

    __slots__ = ("_fd", "_flushing")

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        # Forgotten when the stream is closed: the kernel gives the number to the next connection.
        self._fd = stream.socket.fileno()
        self._flushing = trio.Lock()  # one task at a time may wait for the descriptor

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

    async def send_all(self, data: bytes) -> None:
        self._write(bytes(self._unsent) + data if self._unsent else data)
        if self._unsent:
            async with self._flushing:
                while self._unsent:
                    await trio.lowlevel.wait_writable(self._descriptor())
                    self._write(self._unsent)

    def _write(self, data: bytes | memoryview) -> None:
        """Write what of data can be written without waiting, and keep the rest."""
        self._unsent = data
        if self.broken:
            raise trio.BrokenResourceError
        try:
            sent = os.write(self._descriptor(), data)
        except BlockingIOError:
            return
        except OSError as error:
            self.broken = True
            raise trio.BrokenResourceError from error
        self._unsent = memoryview(data)[sent:] if sent < len(data) else b""

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

    __slots__ = ("_flushed", "_nursery")

    def __init__(self, stream: trio.abc.Stream, nursery: trio.Nursery) -> None:
        super().__init__(stream)
        self._nursery = nursery
        self._flushed: trio.Event | None = None

    async def receive_some(self, max_bytes: int) -> bytes:
        if self._unread:
            return self._reread(max_bytes)
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError:
            self.broken = True
            raise

    async def send_all(self, data: bytes) -> None:
        self._unsent = bytes(self._unsent) + data
        if self._flushed is None:
            self._flushed = trio.Event()
            self._nursery.start_soon(self._write, self._flushed)
        await self._flushed.wait()
        if self.broken:
            raise trio.BrokenResourceError

    async def _write(self, flushed: trio.Event) -> None:
        try:
            while self._unsent:
                data, self._unsent = self._unsent, b""
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.broken = True
        finally:
            self._flushed = None
            flushed.set()
