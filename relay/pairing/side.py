"""One side of a pair: accept its handshake, read its frames, answer pings, close it."""

from __future__ import annotations

from contextlib import suppress
from random import random
from typing import Final

import trio

from ..events import Close, Outcome
from ..limits.token_bucket import Pacer
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
"""Maximum of early data in bytes, incomplete messages included. A read may add `MIN_READ`."""

DISCARDED: Final = 2**20
"""Bytes that are discarded without a rate limit during the closing handshake."""


class Side:
    """One side of a pair. Only one task reads it at a time.

    The task of the side reads it while it waits and while it closes; a pump reads it in between.
    ``scope`` encloses all but the closing handshake, and `end` cancels it.
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
        self.client = client  # client address; "" if unknown
        self._settings = settings
        self._accepted = False
        self.reframer = Reframer(settings.max_message_size)
        self._held = bytearray()
        self.alone = trio.CancelScope()  # encloses the wait for the peer
        self.departed: Outcome | None = None  # set if the side itself ended the pair
        self.close_info: Close = Outcome.STOPPED.close_for_cause  # close frame otherwise
        self.released = trio.Event()  # set once the pair no longer uses this side
        self.received = 0  # bytes received from the client
        self.passed_on = 0  # bytes of the frames for its peer
        self._pacer = (
            Pacer(settings.max_bytes_per_second, READ_SIZE)
            if settings.max_bytes_per_second
            else None
        )
        self.reading_paused = False  # True while reading is paused, not counting a slow peer
        self.heard_at = 0.0  # last sign of life; with a peer, not set by each message
        self.keepalive: KeepaliveState
        self._answered: trio.Event | None = None

    async def accept(self, response: bytes) -> None:
        """Send the 101 response.

        `departed` is set if the client disconnected or does not read the response within
        ``close_timeout``. `end` does not interrupt it: a client whose peer left gets a close frame.
        """
        self.heard_at = trio.current_time()  # the request arrived just now
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
        """Make the task of this side close it; the first call sets the close frame."""
        if not self.scope.cancel_called:
            self.close_info = close
            self.scope.cancel()
        if self._answered is not None:  # no answer will follow
            self._answered.set()

    def ping(self) -> None:
        """Send a ping unless writes are blocked: a deferred ping could replace a pong."""
        if not self.transport.write_blocked:
            self.transport.send_deferred(PING_FRAME)

    def expect_answer(self) -> trio.Event:
        """Return an event that is set when this side ends or sends a control frame.

        Before side B joins, data sets it too.
        """
        self._answered = trio.Event()
        return self._answered

    def is_reading_paused(self, peer: Side | None) -> bool:
        """Return True if the relay does not read this side now, also because of a slow peer."""
        return self.reading_paused or (peer is not None and peer.transport.write_blocked)

    async def hold(self) -> None:
        """Hold early data until side B joins or this side departs.

        At `HELD_LIMIT` reading is paused, but a hangup is noticed if the platform reports it.
        """
        with self.alone:
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
        """Hold received frames; return True if the task has to act."""
        frames = self.take(data)
        self._held += frames
        self._note_life()
        kept = bool(frames) or self.reframer.buffered > 0  # the next read must be smaller
        return kept or self.departed is not None or self._pacer is not None

    def take_held(self) -> bytes:
        """Return the early data as complete frames for the peer, and release it."""
        held, self._held = bytes(self._held), bytearray()
        return held

    async def receive(self, take: Take, max_bytes: int = READ_SIZE) -> None:
        """Read and call ``take`` with the bytes, until it returns True or the side fails.

        A read has at most max_bytes and one chunk of the rate limit. Cancellation loses no bytes.
        """
        if self._pacer is not None:
            max_bytes = min(max_bytes, self._pacer.chunk)
        try:
            await self.transport.receive_until(take, max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.departed = Outcome.BROKEN

    async def wait_for_rate_limit(self) -> None:
        """Wait until the rate limit permits the next read. All received bytes count."""
        if self._pacer is None:
            return
        charged = max(self.received + self.transport.overhead, self.passed_on)
        delay = self._pacer.delay_for(charged, trio.current_time())
        if delay:
            self.reading_paused = True
            await trio.sleep(delay)
            self.reading_paused = False

    def take(self, data: bytes) -> bytes:
        """Return frames for the peer; set `departed` after a close frame, a violation or b""."""
        if not data:
            # The end of a stream after a failed write is a reset: the write consumed the error.
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
        """Answer pings, and record every control frame as a sign of life."""
        control = self.reframer.control
        pings = [frame for frame in control if frame[0] & OPCODE == PING]
        if pings:
            self.transport.send_deferred(b"".join(map(pong_or_close_reply, pings[-MAX_CONTROLS:])))
        control.clear()
        self._note_life()

    def _note_life(self) -> None:
        """Record a sign of life, for takeover checks."""
        self.heard_at = trio.current_time()
        if self._answered is not None:
            self._answered.set()

    async def close(self) -> None:
        """Do the closing handshake within ``close_timeout``, then close the transport."""
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
        """Receive until ``take`` returns True; after `DISCARDED` bytes, at the rate limit."""
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
