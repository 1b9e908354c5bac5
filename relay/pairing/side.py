"""One side of a pair: send the 101 response, read and parse frames, send pings, close."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import random
from typing import Final

import trio

from ..limits.bytes_per_second import Pacer
from ..outcomes import Close, Outcome
from ..protocol.frames import PING_FRAME
from ..protocol.reframer import Control, End, Reframer
from ..protocol.violations import Violation
from ..settings import RelaySettings
from ..transport.base import Transport
from ..transport.epoll_registration import Take
from ..transport.read_size import READ_SIZE
from .closing_handshake import closing_handshake
from .keepalive import KeepaliveState

DISCARDED: Final = 2**20
"""Number of bytes that a closing handshake may discard before the rate limit applies."""


class Side:
    """One side of a pair, from its valid handshake to its end.

    Only one task at a time reads from a side: the task of the side while the side waits for a peer
    or closes, and a pump in between. ``client`` is the client address. ``authorization`` is the
    result of `AdmissionControl.authorize`.
    """

    __slots__ = (
        "_accepted",
        "_answered",
        "_client_end",
        "_pacer",
        "_settings",
        "authorization",
        "client",
        "close_info",
        "departed",
        "ended",
        "heard_at",
        "keepalive",
        "on_end",
        "passed_on",
        "reading_paused",
        "received",
        "reframer",
        "transport",
    )

    def __init__(
        self,
        transport: Transport,
        settings: RelaySettings,
        client: str = "",
        authorization: int = 0,
    ) -> None:
        self.transport = transport
        self.client = client
        self.authorization = authorization
        self._settings = settings
        self._accepted = False
        self.reframer = Reframer(settings.max_message_size)
        self._client_end: End | None = None  # the client's close frame or violation
        self.departed: Outcome | None = None  # set if the side itself ended the pair
        self.ended = False  # True once the pair has ended
        self.on_end: Callable[[], None] | None = None  # starts the task that closes the side
        self.close_info: Close = Outcome.STOPPED.close_for_cause  # to send unless `departed` is set
        self.received = 0  # bytes received from the client
        self.passed_on = 0  # bytes of the frames for the peer
        rate = settings.max_bytes_per_second
        self._pacer = Pacer(rate, READ_SIZE) if rate else None
        self.reading_paused = False  # True while paused for a reason other than a slow peer
        self.heard_at = trio.current_time()  # last sign of life, not counting frames for a peer
        self.keepalive = KeepaliveState(random(), self.heard_at)  # noqa: S311 - no secret
        self._answered: trio.Event | None = None

    async def accept(self, response: bytes) -> None:
        """Send the 101 response.

        This sets `departed` if the client disconnects, or if it does not read the response within
        ``close_timeout``. The end of the pair does not interrupt the write, so that a client whose
        peer has left gets the response and then a close frame.
        """
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
        """Record the end of the pair, and start to close the side.

        Only the first call sets the close frame.
        """
        if not self.ended:
            self.ended, self.close_info = True, close
            on_end, self.on_end = self.on_end, None  # breaks a reference cycle
            if on_end is not None:
                on_end()
        if self._answered is not None:  # no answer will follow
            self._answered.set()

    def ping(self) -> None:
        """Send a ping, unless writes are blocked.

        While writes are blocked, the transport keeps only the latest control frames, so a ping
        could replace a deferred pong.
        """
        if not self.transport.write_blocked:
            self.transport.send_deferred(PING_FRAME)

    def expect_answer(self) -> trio.Event:
        """Return an event that is set when the side ends or the client sends a control frame.

        Before side B joins, data also sets the event.
        """
        self._answered = trio.Event()
        return self._answered

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Set `reading_paused` during a with block, so that checks of the side expect no pong."""
        self.reading_paused = True
        try:
            yield
        finally:
            self.reading_paused = False

    async def receive(self, take: Take, max_bytes: int = READ_SIZE) -> None:
        """Pass the bytes of each read to ``take``, until ``take`` returns True or a read fails.

        A read returns at most ``max_bytes``, and at most `Pacer.chunk` if there is a rate limit. A
        failed read sets `departed`. Cancellation loses no bytes.
        """
        if self._pacer is not None:
            max_bytes = min(max_bytes, self._pacer.chunk)
        try:
            await self.transport.receive_until(take, max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.departed = Outcome.BROKEN

    @property
    def rate_limited(self) -> bool:
        """True if a rate limit applies to this side."""
        return self._pacer is not None

    async def wait_for_rate_limit(self) -> None:
        """Wait until the rate limit permits the next read.

        The limit applies to the larger of two counts: the bytes received from this side, including
        the overhead of TLS, and the bytes of the frames for its peer.
        """
        if self._pacer is None:
            return
        charged = max(self.received + self.transport.overhead, self.passed_on)
        delay = self._pacer.delay_for(charged, trio.current_time())
        if delay:
            with self.paused():
                await trio.sleep(delay)

    def parse(self, data: bytes) -> tuple[bytes, Control]:
        """Parse the bytes of one read. Return the frames for the peer, and the pings and pongs.

        The pings and pongs are those of this side. A close frame, a violation of RFC 6455 or b""
        (the end of the stream) sets `departed`.
        """
        if not data:
            # After a failed write, the end of the stream means a reset, because the kernel has
            # already reported the reset to the write.
            self.departed = Outcome.BROKEN if self.transport.broken else Outcome.ENDED
            return b"", ()
        self.received += len(data)
        pieces, control, end = self.reframer.feed(data)
        if end is not None:
            self._client_end = end
            self.departed = Outcome.VIOLATED if isinstance(end, Violation) else Outcome.CLOSED
        if control or not pieces:
            self.note_life()
        frames = b"".join(pieces)
        self.passed_on += len(frames)
        return frames, control

    def note_life(self) -> None:
        """Record a sign of life from the client, for takeover checks."""
        self.heard_at = trio.current_time()
        if self._answered is not None:
            self._answered.set()

    async def close(self, over: trio.Event) -> None:
        """If the 101 response was sent, wait for ``over``, then do the closing handshake.

        ``over`` is set once no other task reads from this side or writes to it. The caller limits
        the duration, and closes the transport.
        """
        if self._accepted:
            if not over.is_set():  # waiting for an event is a checkpoint, even if it is set
                await over.wait()
            if not self.transport.broken:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    close = None if self.departed else self.close_info
                    await closing_handshake(
                        self.transport,
                        self.reframer,
                        self._client_end,
                        close,
                        self._receive_at_pace,
                    )

    async def _receive_at_pace(self, take: Take) -> None:
        """Receive until ``take`` returns True. The first `DISCARDED` bytes have no rate limit."""
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
