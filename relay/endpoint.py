"""One accepted side: its data below trio-websocket, its control frames and closing through it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio
import trio_websocket

from .errors import CloseCode
from .settings import RelaySettings
from .splitter import FrameSplitter
from .tap import Tap
from .wire import READ_SIZE, Wire

__all__ = ["HELD_LIMIT", "PEER_DISCONNECTED", "Endpoint"]

HELD_LIMIT: Final = 64 * 1024
"""Bytes that are held of what side A sends before side B is there; then A is not read."""

PEER_DISCONNECTED: Final = "peer disconnected"
RELAY_STOPPING: Final = "relay stopping"


class Endpoint:
    """One side of a pair.

    It is read by one task at a time: its own while it waits alone, then a pump of its pair, then
    its tap while it closes. ``scope`` is its task's scope around all but the closing; `end` is
    how any other task ends it.
    """

    __slots__ = (
        "_held",
        "_held_size",
        "_settings",
        "_splitter",
        "_tap",
        "_websocket",
        "alone",
        "close_code",
        "close_reason",
        "departed",
        "peer_code",
        "released",
        "scope",
        "wire",
    )

    def __init__(self, wire: Wire, settings: RelaySettings, scope: trio.CancelScope) -> None:
        self.wire = wire
        self.scope = scope
        self._settings = settings
        self._splitter = FrameSplitter(settings.max_message_size)
        self._tap = Tap(wire, self._splitter)
        self._websocket: trio_websocket.WebSocketConnection | None = None
        self._held: list[bytes] = []
        self._held_size = 0
        self.alone = trio.CancelScope()
        """Around the wait for the peer; cancelled when it is there."""
        self.departed = False
        """Whether this side ended by itself."""
        self.peer_code = CloseCode.INTERNAL_ERROR
        """What its peer is closed with when this side is over."""
        self.close_code = CloseCode.GOING_AWAY
        self.close_reason = RELAY_STOPPING
        self.released = trio.Event()
        """Set when its pair, if it got a place in one, does not read or write it any more."""

    async def accept(
        self, nursery: trio.Nursery, head: bytes, subprotocol: str | None = None
    ) -> None:
        """Do the opening handshake for an upgrade request with this head.

        trio-websocket's reader runs in the nursery from then on. If the client is gone, or does not
        take the answer within ``close_timeout``, that is noted in `departed`. Being ended does not
        cut it short, so that a client whose peer just left is told so in the words of WebSocket.
        """
        self._tap.begin_opening(head)
        with trio.move_on_after(self._settings.close_timeout, shield=True):
            request = await trio_websocket.wrap_server_stream(nursery, self._tap)
            with suppress(trio_websocket.ConnectionClosed):
                self._websocket = await request.accept(subprotocol=subprotocol)
        if self._websocket is None:
            self._depart(CloseCode.INTERNAL_ERROR)

    def end(self, code: CloseCode, reason: str) -> None:
        """Have this side closed with this code and reason, by its own task.

        The first call decides; a side that departed by itself gets the answer to that instead.
        """
        if not self.scope.cancel_called:
            self.close_code, self.close_reason = code, reason
            self.scope.cancel()

    async def hold(self) -> None:
        """Hold what this side sends while it is alone; return when it departed.

        Past `HELD_LIMIT` it is not read, but its leaving is still noticed where the system can
        tell. Cancelled by `alone`, it loses nothing.
        """
        while self._held_size < HELD_LIMIT:
            frames = await self._read(min(READ_SIZE, HELD_LIMIT - self._held_size))
            if frames:
                self._held.append(frames)
                self._held_size += len(frames)
            if self.departed:
                return
        await self.wire.wait_hangup()
        self._depart(CloseCode.NORMAL)

    async def receive(self) -> bytes:
        """Return what this side sends next, as whole frames for its peer.

        What was held comes first. b"" means that the side departed; all it sent before was
        returned before.
        """
        if self._held:
            frames = b"".join(self._held)
            self._held.clear()
            return frames
        while not self.departed:
            frames = await self._read(READ_SIZE)
            if frames:
                return frames
        return b""

    async def _read(self, max_bytes: int) -> bytes:
        """Read once; return the frames for the peer, if any came, and note a departure."""
        splitter = self._splitter
        try:
            data = await self.wire.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._depart(CloseCode.INTERNAL_ERROR)
            return b""
        if not data:
            # A stream that ends after a failed write was reset, and the write took the error.
            self._depart(CloseCode.INTERNAL_ERROR if self.wire.broken else CloseCode.NORMAL)
            return b""
        frames = splitter.feed(data)
        if splitter.violation is not None:
            self._depart(CloseCode.INTERNAL_ERROR)
        elif splitter.closed:
            self._depart(CloseCode.NORMAL)
        elif splitter.control:
            self._tap.deliver(splitter.control)
            splitter.control.clear()
        return b"".join(frames)

    def _depart(self, peer_code: CloseCode) -> None:
        self.departed = True
        self.peer_code = peer_code

    async def send(self, frames: bytes) -> None:
        """Send whole frames of the peer.

        If this side broke they are lost, and its own reader will find out why it did.
        """
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.wire.send_all(frames)

    async def close(self) -> None:
        """Do the closing handshake, within ``close_timeout``, and close the stream.

        For the endpoint's own task alone, after which the endpoint is not used any more. A side
        that closed first gets its close frame echoed; one that broke a rule gets the code of its
        violation; one whose stream ended or broke gets nothing.
        """
        with trio.move_on_after(self._settings.close_timeout):
            if self._websocket is not None:
                await self.released.wait()
                if not self._silent:
                    await self._close_websocket(self._websocket)
            await self.wire.aclose()

    async def _close_websocket(self, websocket: trio_websocket.WebSocketConnection) -> None:
        splitter, violation = self._splitter, self._splitter.violation
        self._tap.begin_closing(splitter.control[-1] if splitter.closed else None)
        if violation is not None:
            await websocket.aclose(violation.code, violation.reason)
        elif not splitter.closed:
            await websocket.aclose(self.close_code, self.close_reason)
        await self._tap.closed.wait()

    @property
    def _silent(self) -> bool:
        """Whether the client can neither send nor get a close frame any more."""
        splitter = self._splitter
        left = self.departed and not splitter.closed and splitter.violation is None
        return left or self.wire.broken
