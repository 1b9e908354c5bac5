"""One accepted side: what it sends, what it is sent, and how it is closed."""

from __future__ import annotations

from contextlib import suppress
from random import random
from typing import Final

import trio

from ..limits.pacer import Pacer
from ..outcome import Close, Outcome
from ..protocol.frames import OPCODE, PING, PING_FRAME, pong_or_close_reply
from ..protocol.reframer import MAX_CONTROLS, Reframer
from ..settings import RelaySettings
from ..transport.base import Transport
from ..transport.epoll_reader import Take
from ..transport.read_size import MIN_READ, READ_SIZE
from .closing import closing_handshake
from .keepalive import KeepaliveState

__all__ = ["HELD_LIMIT", "Side"]

HELD_LIMIT: Final = 64 * 1024
"""Bytes that are held of what side A sends before side B is there; then A is not read.

A message that is still arriving counts; one more read may add `MIN_READ`.
"""

DISCARDED: Final = 2**20
"""Bytes on their way to the relay that are discarded at any rate while a side is closed."""


class Side:
    """One side of a pair, which one task at a time reads.

    Its own task reads it while it waits and while it closes, and a pump in between. ``scope`` is
    around all but the closing; other tasks end it by `end`.
    """

    __slots__ = (
        "_accepted",
        "_answered",
        "_held",
        "_pacer",
        "_settings",
        "alone",
        "client",
        "close_info",
        "departed",
        "heard_at",
        "keepalive",
        "passed_on",
        "reading_paused",
        "received",
        "reframer",
        "released",
        "scope",
        "transport",
    )

    def __init__(
        self,
        transport: Transport,
        settings: RelaySettings,
        scope: trio.CancelScope,
        client: str = "",
    ) -> None:
        self.transport = transport
        self.scope = scope
        self.client = client  # its address; "" if not known
        self._settings = settings
        self._accepted = False
        self.reframer = Reframer(settings.max_message_size)
        self._held = bytearray()
        self.alone = trio.CancelScope()  # around the wait for the peer
        self.departed: Outcome | None = None  # if it ended by itself
        self.close_info: Close = Outcome.STOPPED.close_for_cause  # if it did not
        self.released = trio.Event()  # set once its pair is done with it
        self.received = 0  # bytes that came from it
        self.passed_on = 0  # bytes of the frames made of them for its peer
        self._pacer = (
            Pacer(settings.max_bytes_per_second, READ_SIZE)
            if settings.max_bytes_per_second
            else None
        )
        self.reading_paused = False  # True while it is not read, and not because its peer is slow
        self.heard_at = 0.0  # when it last was; with a peer, not noted for every message
        self.keepalive: KeepaliveState
        self._answered: trio.Event | None = None

    async def accept(self, response: bytes) -> None:
        """Answer the upgrade request.

        If the client is gone, or does not take the answer within ``close_timeout``, `departed` says
        so. Being ended does not cut it short: a client whose peer just left gets a close frame.
        """
        self.heard_at = trio.current_time()  # its request was complete, however long that took
        self.keepalive = KeepaliveState(random(), self.heard_at)  # noqa: S311 - no secret
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if self.transport.try_send(response):
                self._accepted = True
                return
            with trio.move_on_after(self._settings.close_timeout, shield=True):
                await self.transport.flush()
                self._accepted = True
        if not self._accepted:
            self.departed = Outcome.BROKEN

    def end(self, close: Close) -> None:
        """Have this side closed by its own task, with these words unless it departed by itself.

        The first call decides.
        """
        if not self.scope.cancel_called:
            self.close_info = close
            self.scope.cancel()
        if self._answered is not None:  # there is nothing to wait for any more
            self._answered.set()

    def ping(self) -> None:
        """Send a ping if there is room; to be sent later, it would take the place of a pong."""
        if not self.transport.write_blocked:
            self.transport.send_deferred(PING_FRAME)

    def expect_answer(self) -> trio.Event:
        """Return what is set when this side is heard, or ended; if it has a peer, not by data."""
        self._answered = trio.Event()
        return self._answered

    def is_reading_paused(self, peer: Side | None) -> bool:
        """Return whether the relay does not read this side now, so that it cannot be heard."""
        return self.reading_paused or (peer is not None and peer.transport.write_blocked)

    async def hold(self) -> None:
        """Hold what this side sends while it is alone; return when it departed or B is there.

        Past `HELD_LIMIT` it is not read, but its leaving is noticed where the system can tell.
        """
        with self.alone:
            # What the splitter keeps of a message that is still arriving counts as well.
            while self.departed is None and (
                (room := HELD_LIMIT - len(self._held) - self.reframer.buffered) > 0
            ):
                await self.receive(self._hold, max(MIN_READ, room))
                await self.wait_for_rate_limit()
            if self.departed is None:
                self.reading_paused = True
                await self.transport.wait_hangup()
                self.departed = Outcome.BROKEN if self.transport.broken else Outcome.ENDED
        self.reading_paused = False

    def _hold(self, data: bytes) -> bool:
        """Hold what came for the peer; return True if there is something to see to."""
        frames = self.take(data)
        self._held += frames
        self._note_life()
        kept = bool(frames) or self.reframer.buffered > 0  # the next read has less room
        return kept or self.departed is not None or self._pacer is not None

    def take_held(self) -> bytes:
        """Return what was held, as whole frames for the peer, and hold it no more."""
        held, self._held = bytes(self._held), bytearray()
        return held

    async def receive(self, take: Take, max_bytes: int = READ_SIZE) -> None:
        """Give take what this side sends, until it returns True, or the side broke.

        A read has at most max_bytes, and no more than the pace allows. Cancelling loses nothing.
        """
        if self._pacer is not None:
            max_bytes = min(max_bytes, self._pacer.chunk)
        try:
            await self.transport.receive_until(take, max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.departed = Outcome.BROKEN

    async def wait_for_rate_limit(self) -> None:
        """Wait until this side may be read again: every byte it sent counts."""
        if self._pacer is None:
            return
        charged = max(self.received + self.transport.overhead, self.passed_on)
        delay = self._pacer.delay_for(charged, trio.current_time())
        if delay:
            self.reading_paused = True
            await trio.sleep(delay)
            self.reading_paused = False

    def take(self, data: bytes) -> bytes:
        """Return what there is for the peer, as whole frames, in what was received.

        If that is how this side departed, it is noted.
        """
        if not data:
            # A stream that ends after a failed write was reset; the write took the error.
            self.departed = Outcome.BROKEN if self.transport.broken else Outcome.ENDED
            return b""
        self.received += len(data)
        reframer = self.reframer
        frames = reframer.feed(data)
        if reframer.violation is not None:
            self.departed = Outcome.VIOLATED
        elif reframer.closed:
            self.departed = Outcome.CLOSED
        elif reframer.control:
            self._answer_control_frames()
        if frames:
            together = b"".join(frames)
            self.passed_on += len(together)
            return together
        self._note_life()
        return b""

    def _answer_control_frames(self) -> None:
        """Answer pings; note that whatever control frames there are show the client to be there."""
        control = self.reframer.control
        pings = [frame for frame in control if frame[0] & OPCODE == PING]
        if pings:
            self.transport.send_deferred(b"".join(map(pong_or_close_reply, pings[-MAX_CONTROLS:])))
        control.clear()
        self._note_life()

    def _note_life(self) -> None:
        """Note that this side was heard, for whoever wants its place."""
        self.heard_at = trio.current_time()
        if self._answered is not None:
            self._answered.set()

    async def close(self) -> None:
        """Do the closing handshake, within ``close_timeout``, and close the stream.

        For the endpoint's own task alone, and the last use of the endpoint.
        """
        with trio.move_on_after(self._settings.close_timeout) as in_time:
            if self._accepted:
                await self.released.wait()
                if not self.transport.broken:
                    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                        close = None if self.departed else self.close_info
                        await closing_handshake(
                            self.transport, self.reframer, close, self._receive_at_pace
                        )
            await self.transport.aclose()
        if in_time.cancelled_caught:
            await trio.aclose_forcefully(self.transport)

    async def _receive_at_pace(self, take: Take) -> None:
        """Give take what this side sends until it returns True, at its pace past `DISCARDED`."""
        over, paced_from = False, self.received + DISCARDED

        def count(data: bytes) -> bool:
            nonlocal over
            self.received += len(data)
            over = take(data)
            return over or self._pacer is not None

        while not over and not self.transport.broken:
            await self.receive(count)
            if self.received > paced_from:
                await self.wait_for_rate_limit()
