"""What trio-websocket holds in place of the socket.

The data plane reads the client itself and shows trio-websocket the control frames alone: pings, and
the close frame. What trio-websocket writes goes out through the same wire as the data.

trio-websocket begins with a handshake of its own, by the time it is needed. The door has judged and
answered the client's long before, so the tap plays it a request and drops its answer.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from .frames import CLOSE, FIN, OPCODE, PING
from .splitter import FrameSplitter
from .wire import READ_SIZE, Wire

__all__ = ["MAX_PINGS", "Tap"]

MAX_PINGS: Final = 16
"""Pings kept of those that came at once, or while the client takes no pongs: the latest ones.

RFC 6455 section 5.5.3 allows it, and a flood of pings can then neither fill the memory nor hold
up the data behind it.
"""


UPGRADE_REQUEST: Final = (
    b"GET / HTTP/1.1\r\n"
    b"Host: relay\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"\r\n"
)


class Tap(trio.abc.Stream):
    """A stream of one client's control frames, over the wire that carries its data too.

    trio-websocket's reader gets one frame at a time, so that it never holds a ping that it must not
    answer any more: version 0.12.2 raises if a ping comes after its own close frame.
    """

    __slots__ = (
        "_answered",
        "_asked",
        "_close_sent",
        "_closing",
        "_inbox",
        "_news",
        "_splitter",
        "_wire",
        "closed",
    )

    def __init__(self, wire: Wire, splitter: FrameSplitter) -> None:
        self._wire = wire
        self._splitter = splitter
        self._asked = self._answered = False  # about trio-websocket's handshake
        self._inbox: deque[bytes] = deque()
        self._news = trio.Event()
        self._closing = False
        self._close_sent = trio.Event()
        self.closed = trio.Event()
        """Set when trio-websocket is done: the closing handshake is over, or cannot be."""

    def deliver(self, frames: list[bytes]) -> None:
        """Hand over control frames. Pongs answer nothing that was asked, and are left out."""
        self._inbox.extend(frame for frame in frames if frame[0] & OPCODE == PING)
        while len(self._inbox) > MAX_PINGS:
            self._inbox.popleft()
        self._news.set()

    def begin_closing(self, close_frame: bytes | None) -> None:
        """Turn to the closing handshake: from now on the tap itself reads the client.

        ``close_frame`` is the client's, if it came first, to be echoed. Otherwise the client's
        data and pings are discarded until its close frame, or the end of its stream, comes.
        Nothing else may read the wire any more.
        """
        self._closing = True
        self._inbox.clear()
        if close_frame is not None:
            self._inbox.append(close_frame)
        self._news.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return the next control frame; b"" once nothing more can come."""
        if not self._asked:
            self._asked = True
            return UPGRADE_REQUEST
        while not (self._inbox and self._answered):
            if self.closed.is_set():
                raise trio.ClosedResourceError
            if self._closing and not self._inbox:
                return await self._receive_close()
            await self._news.wait()
            self._news = trio.Event()
        return self._inbox.popleft()

    async def _receive_close(self) -> bytes:
        """Return the close frame that answers the relay's own, or b"" if none can come."""
        await self._close_sent.wait()
        splitter = self._splitter
        try:
            while splitter.violation is None:
                data = await self._wire.receive_some(READ_SIZE)
                splitter.feed(data)
                if splitter.closed:
                    return splitter.control[-1]
                splitter.control.clear()
                if not data:
                    break
            else:  # after a violation there is no frame border to be found any more
                await self._wire.linger()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.closed.set()
        return b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send a whole frame that trio-websocket wrote; drop the answer to its handshake."""
        if not self._answered:
            self._answered = True
            self._news.set()
            return
        try:
            await self._wire.send_all(bytes(data))
        finally:
            if data[0] == FIN | CLOSE:
                self._close_sent.set()

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once; trio-websocket does not ask."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Note that trio-websocket is done; the wire is its endpoint's to close."""
        self.closed.set()
        await trio.lowlevel.checkpoint()
