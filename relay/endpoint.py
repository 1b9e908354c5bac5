"""One accepted side: its data below trio-websocket, its control frames and closing through it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final, cast

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
    how any other task ends it. trio-websocket is started in the nursery, which must be there for
    the closing, when there is a first control frame to answer or to send: most sides of most pairs
    do without it for most of their time.
    """

    __slots__ = (
        "_accepted",
        "_held",
        "_nursery",
        "_opening",
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

    def __init__(
        self,
        wire: Wire,
        settings: RelaySettings,
        scope: trio.CancelScope,
        nursery: trio.Nursery,
    ) -> None:
        self.wire = wire
        self.scope = scope
        self._settings = settings
        self._nursery = nursery
        self._accepted = False
        self._splitter = FrameSplitter(settings.max_message_size)
        self._tap = Tap(wire, self._splitter)
        self._websocket: trio_websocket.WebSocketConnection | None = None
        self._opening: trio.Event | None = None
        self._held = bytearray()
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

    async def accept(self, response: bytes) -> None:
        """Answer the upgrade request.

        If the client is gone, or does not take the answer within ``close_timeout``, that is noted
        in `departed`. Being ended does not cut it short, so that a client whose peer just left is
        told so in the words of WebSocket.
        """
        with trio.move_on_after(self._settings.close_timeout, shield=True):
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.wire.send_all(response)
                self._accepted = True
        if not self._accepted:
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
        while len(self._held) < HELD_LIMIT:
            frames = await self.receive(HELD_LIMIT - len(self._held))
            if not frames:
                return
            self._held += frames
        await self.wire.wait_hangup()
        self._depart(CloseCode.INTERNAL_ERROR if self.wire.broken else CloseCode.NORMAL)

    def take_held(self) -> bytes:
        """Return what was held, as whole frames for the peer, and hold it no more."""
        held, self._held = bytes(self._held), bytearray()
        return held

    async def receive(self, max_bytes: int = READ_SIZE) -> bytes:
        """Return what this side sends next, as whole frames for its peer.

        b"" means that the side departed; all it sent before was returned before. Cancelling it
        loses nothing.
        """
        splitter = self._splitter
        while not self.departed:
            try:
                data = await self.wire.receive_some(max_bytes)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._depart(CloseCode.INTERNAL_ERROR)
                break
            if not data:
                # A stream that ends after a failed write was reset; the write took the error.
                self._depart(CloseCode.INTERNAL_ERROR if self.wire.broken else CloseCode.NORMAL)
                break
            frames = splitter.feed(data)
            if splitter.violation is not None:
                self._depart(CloseCode.INTERNAL_ERROR)
            elif splitter.closed:
                self._depart(CloseCode.NORMAL)
            elif splitter.control:
                self._tap.deliver(splitter.control)
                splitter.control.clear()
                if self._opening is None:
                    self._nursery.start_soon(self._open_websocket)
            if frames:
                return b"".join(frames)
        return b""

    def _depart(self, peer_code: CloseCode) -> None:
        self.departed = True
        self.peer_code = peer_code

    async def close(self) -> None:
        """Do the closing handshake, within ``close_timeout``, and close the stream.

        For the endpoint's own task alone, after which the endpoint is not used any more. A side
        that closed first gets its close frame echoed; one that broke a rule gets the code of its
        violation; one whose stream ended or broke gets nothing.
        """
        with trio.move_on_after(self._settings.close_timeout) as in_time:
            if self._accepted:
                await self.released.wait()
                if not self._silent:
                    await self._close_websocket()
            await self.wire.aclose()
        if in_time.cancelled_caught:
            await trio.aclose_forcefully(self.wire)

    async def _close_websocket(self) -> None:
        websocket = await self._open_websocket()
        splitter, violation = self._splitter, self._splitter.violation
        self._tap.begin_closing(splitter.control[-1] if splitter.closed else None)
        if violation is not None:
            await websocket.aclose(violation.code, violation.reason)
        elif not splitter.closed:
            await websocket.aclose(self.close_code, self.close_reason)
        await self._tap.closed.wait()

    async def _open_websocket(self) -> trio_websocket.WebSocketConnection:
        """Return trio-websocket's view of this side, which is opened at the first call."""
        if self._opening is None:
            self._opening = trio.Event()
            request = await trio_websocket.wrap_server_stream(self._nursery, self._tap)
            self._websocket = await request.accept()
            self._opening.set()
        await self._opening.wait()
        return cast(trio_websocket.WebSocketConnection, self._websocket)

    @property
    def patience(self) -> float:
        """Seconds that this side may take over what it has to do at the end."""
        return self._settings.close_timeout

    @property
    def _silent(self) -> bool:
        """Whether the client can neither send nor get a close frame any more."""
        splitter = self._splitter
        left = self.departed and not splitter.closed and splitter.violation is None
        return left or self.wire.broken
