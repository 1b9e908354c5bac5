"""Two endpoints, joined: a nursery with two pumps that cancel each other."""

from __future__ import annotations

import math

import trio

from .endpoint import Endpoint
from .frames import MAX_CONTROL
from .outcome import Outcome
from .pace import Pace
from .rendezvous import Pair
from .settings import RelaySettings
from .wire import READ_SIZE

__all__ = ["conclude", "run_pair"]


def conclude(pair: Pair[Endpoint], outcome: Outcome, cause: Endpoint | None = None) -> None:
    """End both sides of a pair in this way, because of ``cause``; the first call decides.

    Each side is closed by its own task, with what the outcome has for it.
    """
    if pair.outcome is None:
        pair.outcome = outcome
    for side in (pair.a, pair.b):
        if side is not None:
            side.end(outcome.own if side is cause else outcome.peers)


async def run_pair(pair: Pair[Endpoint], a: Endpoint, b: Endpoint, settings: RelaySettings) -> None:
    """Move messages both ways until one side departs, or a limit is reached; then end both.

    What a departing side sent before has been sent to the other one by then. Neither endpoint is
    closed here.
    """
    over_at = trio.current_time() + (settings.max_pair_seconds or math.inf)
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = over_at
        for source, sink in ((a, b), (b, a)):
            toll = Toll(pair, source, settings) if Toll.is_due(settings) else None
            pump = Pump(source, sink, nursery.cancel_scope, toll, settings.close_timeout)
            nursery.start_soon(pump.run)
    for side in (a, b):
        if side.departed is not None:
            conclude(pair, side.departed, side)
    if trio.current_time() >= over_at:
        conclude(pair, Outcome.OVER_TIME)


class Pump:
    """Sends to sink what source sends, until source departs; then cancels scope.

    A sink that cannot be written any more does not end the pump: the other one reads it, and
    finds its close frame, or what became of it, behind all that it sent. If that takes longer than
    patience seconds, the pair is over all the same.
    """

    __slots__ = ("_due", "_patience", "_scope", "_sent", "_sink", "_source", "_toll")

    def __init__(
        self,
        source: Endpoint,
        sink: Endpoint,
        scope: trio.CancelScope,
        toll: Toll | None,
        patience: float,
    ) -> None:
        self._source = source
        self._sink = sink
        self._scope = scope
        self._toll = toll
        self._patience = patience
        self._due = 0
        self._sent = True

    async def run(self) -> None:
        """Do so. Its task sleeps for as long as messages pass and nobody has to wait."""
        source, toll = self._source, self._toll
        size = READ_SIZE if toll is None else toll.read_size
        if held := source.take_held():
            self._send(held)
        while True:
            try:
                if not self._sent:
                    await self._sink.wire.flush()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._give_up_soon()
            if toll is not None:
                await toll.pay(self._due)
            if source.departed is not None:
                break
            self._sent, self._due = True, 0
            try:
                await source.wire.receive_until(self._take, size)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                source.departed = Outcome.BROKEN
        self._scope.cancel()

    def _take(self, data: bytes) -> bool:
        """Pass on what came; return whether there is something to wait for, or source departed."""
        source = self._source
        if frames := source.take(data):
            self._send(frames)
        else:
            # What the splitter holds of a message is paid for when it goes on; less is none.
            self._due = len(data) if len(source.splitter.held) < MAX_CONTROL else 0
        return not self._sent or source.departed is not None or self._toll is not None

    def _send(self, frames: bytes) -> None:
        self._due = len(frames)
        try:
            self._sent = self._sink.wire.send_now(frames)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._give_up_soon()

    def _give_up_soon(self) -> None:
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + self._patience)


class Toll:
    """What one side may send in its pair, where that is limited.

    It is due for the frames that are passed on, and for what is received and dropped.
    """

    def __init__(self, pair: Pair[Endpoint], source: Endpoint, settings: RelaySettings) -> None:
        self._pair = pair
        self._source = source
        self._max_bytes = settings.max_pair_bytes
        self._pace = Pace(settings.max_rate or math.inf, READ_SIZE)
        self.read_size = self._pace.chunk
        """Bytes that one read may take."""

    @staticmethod
    def is_due(settings: RelaySettings) -> bool:
        """Return whether there is a limit at all."""
        return bool(settings.max_rate or settings.max_pair_bytes)

    async def pay(self, count: int) -> None:
        """Wait until the next read is due after count bytes; end the pair if it sent too much."""
        a, b = self._pair.a, self._pair.b
        sent = a.passed_on + (b.passed_on if b else 0)
        if 0 < self._max_bytes <= sent:
            conclude(self._pair, Outcome.OVER_BYTES)
        delay = self._pace.delay(count, trio.current_time())
        if delay:
            self._source.unread = True
            await trio.sleep(delay)
            self._source.unread = False
