"""One accepted side: what it sends, what it is sent, and how it is closed."""

from __future__ import annotations

from contextlib import suppress
from random import random
from typing import Final

import trio

from .frames import OPCODE, PING, PING_FRAME, answer_to, close_frame
from .liveness import Watch
from .outcome import Goodbye, Outcome
from .settings import RelaySettings
from .splitter import FrameSplitter
from .wire import READ_SIZE, Wire

__all__ = ["HELD_LIMIT", "MAX_PINGS", "Endpoint"]

HELD_LIMIT: Final = 64 * 1024
"""Bytes that are held of what side A sends before side B is there; then A is not read.

It may become `MIN_READ` more: nobody has itself read byte by byte.
"""

MIN_READ: Final = 1024

MAX_PINGS: Final = 16
"""Pings answered of those that came at once: the latest ones.

RFC 6455 section 5.5.3 allows it, and a flood of pings can then neither fill the memory nor hold
up the data behind it.
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
        "_settings",
        "alone",
        "client",
        "departed",
        "goodbye",
        "heard_at",
        "passed_on",
        "reads",
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
        self.reads = 0
        """How often something was received."""
        self.passed_on = 0
        """Bytes of frames that were taken from it for its peer."""
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
            while len(self._held) < HELD_LIMIT:
                frames = await self.receive(max(MIN_READ, HELD_LIMIT - len(self._held)))
                if not frames:
                    return
                self._held += frames
                self._note_life()
            self.unread = True
            await self.wire.wait_hangup()
            self.departed = Outcome.BROKEN if self.wire.broken else Outcome.ENDED
        self.unread = False

    def take_held(self) -> bytes:
        """Return what was held, as whole frames for the peer, and hold it no more."""
        held, self._held = bytes(self._held), bytearray()
        return held

    async def receive(self, max_bytes: int = READ_SIZE) -> bytes:
        """Return what this side sends next, as whole frames for its peer.

        b"" means that the side departed; all it sent before was returned before. Cancelling it
        loses nothing.
        """
        frames = b""
        try:
            while not frames and self.departed is None:
                frames = self.take(await self.wire.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.departed = Outcome.BROKEN
        return frames

    def take(self, data: bytes) -> bytes:
        """Return what there is for the peer, as whole frames, in what was received.

        If that is how this side departed, it is noted.
        """
        if not data:
            # A stream that ends after a failed write was reset; the write took the error.
            self.departed = Outcome.BROKEN if self.wire.broken else Outcome.ENDED
            return b""
        self.reads += 1
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
            self.wire.send_soon(b"".join(map(answer_to, pings[-MAX_PINGS:])))
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
                        await self._shake_hands()
            await self.wire.aclose()
        if in_time.cancelled_caught:
            await trio.aclose_forcefully(self.wire)

    async def _shake_hands(self) -> None:
        """Send the last frame, and wait for the client's if it has not come yet (section 7.1)."""
        splitter = self.splitter
        if splitter.closed:
            await self.wire.send_all(answer_to(splitter.control[-1]))
        elif (violation := splitter.violation) is not None:
            await self.wire.send_all(close_frame(violation.code, violation.reason))
            await self.wire.linger()  # there is no frame border to be found any more
        elif self.departed is None:
            await self.wire.send_all(close_frame(*self.goodbye))
            # Data and pings are discarded until the client's close frame comes.
            while not splitter.over and (data := await self.wire.receive_some(READ_SIZE)):
                splitter.feed(data)
                splitter.control.clear()
