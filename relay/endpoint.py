"""One accepted side: what it sends, what it is sent, and how it is closed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import random
from typing import Final

import trio

from .closing import shake_hands
from .frames import OPCODE, PING, PING_FRAME, answer_to
from .liveness import Watch
from .outcome import Goodbye, Outcome
from .pace import Pace
from .read_size import MIN_READ, READ_SIZE
from .settings import RelaySettings
from .splitter import MAX_CONTROLS, FrameSplitter
from .wire import Wire

__all__ = ["HELD_LIMIT", "Endpoint"]

HELD_LIMIT: Final = 64 * 1024
"""Bytes that are held of what side A sends before side B is there; then A is not read.

It may become `MIN_READ` more: nobody has itself read byte by byte.
"""


class Endpoint:
    """One side of a pair.

    It is read by one task at a time: its own while it waits alone, then a pump of its pair, then
    its own again while it closes. ``scope`` is its task's scope around all but the closing; `end`
    is how any other task ends it.
    """

    __slots__ = (
        "_accepted",
        "_answered",
        "_held",
        "_pace",
        "_settings",
        "alone",
        "client",
        "departed",
        "goodbye",
        "heard_at",
        "passed_on",
        "received",
        "released",
        "scope",
        "splitter",
        "unread",
        "watch",
        "wire",
    )

    def __init__(
        self, wire: Wire, settings: RelaySettings, scope: trio.CancelScope, client: str = ""
    ) -> None:
        self.wire = wire
        self.scope = scope
        self.client = client
        """The address that it comes from; "" if not known."""
        self._settings = settings
        self._accepted = False
        self.splitter = FrameSplitter(settings.max_message_size)
        """What takes apart what it sends, and counts its messages."""
        self._held = bytearray()
        self.alone = trio.CancelScope()
        """Around the wait for the peer; cancelled when it is there."""
        self.departed: Outcome | None = None
        """How this side ended, if it did by itself."""
        self.goodbye: Goodbye = Outcome.STOPPED.own
        """What it is closed with if it did not."""
        self.released = trio.Event()
        """Set when its pair, if it got a place in one, does not read or write it any more."""
        self.received = 0
        """Bytes that came from it."""
        self.passed_on = 0
        """Bytes of frames that were taken from it for its peer."""
        self._pace = Pace(settings.max_rate, READ_SIZE) if settings.max_rate else None
        self.unread = False
        """Whether the relay does not read it, though it is not its peer that it waits for."""
        self.heard_at = 0.0
        """When something was received; if it has a peer, not noted for every message."""
        self.watch: Watch
        self._answered: trio.Event | None = None

    async def accept(self, response: bytes) -> None:
        """Answer the upgrade request.

        If the client is gone, or does not take the answer within ``close_timeout``, that is noted
        in `departed`. Being ended does not cut it short, so that a client whose peer just left is
        told so in the words of WebSocket.
        """
        self.heard_at = trio.current_time()  # its request was complete, however long that took
        self.watch = Watch(random(), self.heard_at)  # noqa: S311 - no secret
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if self.wire.send_now(response):
                self._accepted = True
                return
            with trio.move_on_after(self._settings.close_timeout, shield=True):
                await self.wire.flush()
                self._accepted = True
        if not self._accepted:
            self.departed = Outcome.BROKEN

    def end(self, goodbye: Goodbye) -> None:
        """Have this side closed with these words, by its own task.

        The first call decides; a side that departed by itself gets the answer to that instead.
        """
        if not self.scope.cancel_called:
            self.goodbye = goodbye
            self.scope.cancel()
        if self._answered is not None:  # there is nothing to wait for any more
            self._answered.set()

    def ping(self) -> None:
        """Send a ping if there is room; to be sent later, it would take the place of a pong."""
        if not self.wire.blocked:
            self.wire.send_soon(PING_FRAME)

    def expect_answer(self) -> trio.Event:
        """Return what is set when this side is heard, or ended; if it has a peer, not by data."""
        self._answered = trio.Event()
        return self._answered

    def is_unread(self, peer: Endpoint | None) -> bool:
        """Return whether the relay does not read this side now, so that it cannot be heard."""
        return self.unread or (peer is not None and peer.wire.blocked)

    async def hold(self) -> None:
        """Hold what this side sends while it is alone; return when it departed or B is there.

        Past `HELD_LIMIT` it is not read, but its leaving is still noticed where the system can
        tell. B's coming, which cancels `alone`, loses nothing.
        """
        with self.alone:
            while self.departed is None and len(self._held) < HELD_LIMIT:
                await self.receive(self._hold, max(MIN_READ, HELD_LIMIT - len(self._held)))
                await self.wait_for_pace()
            if self.departed is None:
                self.unread = True
                await self.wire.wait_hangup()
                self.departed = Outcome.BROKEN if self.wire.broken else Outcome.ENDED
        self.unread = False

    def _hold(self, data: bytes) -> bool:
        """Hold what came for the peer; return True if there is something to see to."""
        frames = self.take(data)
        self._held += frames
        self._note_life()
        return bool(frames) or self.departed is not None or self._pace is not None

    def take_held(self) -> bytes:
        """Return what was held, as whole frames for the peer, and hold it no more."""
        held, self._held = bytes(self._held), bytearray()
        return held

    async def receive(self, take: Callable[[bytes], bool], max_bytes: int = READ_SIZE) -> None:
        """Give take what this side sends, until it returns True, or the side broke.

        A read has at most max_bytes, and no more than the side's pace allows. Cancelling it loses
        nothing.
        """
        if self._pace is not None:
            max_bytes = min(max_bytes, self._pace.chunk)
        try:
            await self.wire.receive_until(take, max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.departed = Outcome.BROKEN

    async def wait_for_pace(self) -> None:
        """Wait until this side may be read again under ``max_rate``.

        It is charged the greater of two counts: bytes that came from it, text and pings included,
        and bytes of the frames for its peer.
        """
        if self._pace is None:
            return
        charged = max(self.received, self.passed_on)
        delay = self._pace.delay_for(charged, trio.current_time())
        if delay:
            self.unread = True
            await trio.sleep(delay)
            self.unread = False

    def take(self, data: bytes) -> bytes:
        """Return what there is for the peer, as whole frames, in what was received.

        If that is how this side departed, it is noted.
        """
        if not data:
            # A stream that ends after a failed write was reset; the write took the error.
            self.departed = Outcome.BROKEN if self.wire.broken else Outcome.ENDED
            return b""
        self.received += len(data)
        splitter = self.splitter
        frames = splitter.feed(data)
        if splitter.violation is not None:
            self.departed = Outcome.VIOLATED
        elif splitter.closed:
            self.departed = Outcome.CLOSED
        elif splitter.control:
            self._take_control()
        if frames:
            together = b"".join(frames)
            self.passed_on += len(together)
            return together
        self._note_life()
        return b""

    def _take_control(self) -> None:
        """Answer pings; note that whatever control frames there are show the client to be there."""
        control = self.splitter.control
        pings = [frame for frame in control if frame[0] & OPCODE == PING]
        if pings:
            self.wire.send_soon(b"".join(map(answer_to, pings[-MAX_CONTROLS:])))
        control.clear()
        self._note_life()

    def _note_life(self) -> None:
        """Note that this side was heard, for whoever wants its place."""
        self.heard_at = trio.current_time()
        if self._answered is not None:
            self._answered.set()

    async def close(self) -> None:
        """Do the closing handshake, within ``close_timeout``, and close the stream.

        For the endpoint's own task alone, after which the endpoint is not used any more. A side
        that closed first gets its close frame echoed; one that broke a rule gets the code of its
        violation; one whose stream ended or broke gets nothing.
        """
        with trio.move_on_after(self._settings.close_timeout) as in_time:
            if self._accepted:
                await self.released.wait()
                if not self.wire.broken:
                    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                        goodbye = None if self.departed else self.goodbye
                        await shake_hands(self.wire, self.splitter, goodbye)
            await self.wire.aclose()
        if in_time.cancelled_caught:
            await trio.aclose_forcefully(self.wire)
