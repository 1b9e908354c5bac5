"""Two endpoints, joined: a nursery with two pumps that cancel each other."""

from __future__ import annotations

import math

import trio

from .endpoint import Endpoint
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
            source.pay = None if toll is None else toll.pay
            read_size = READ_SIZE if toll is None else toll.read_size
            patience = settings.close_timeout
            nursery.start_soon(pump, source, sink, nursery.cancel_scope, read_size, patience)
    for side in (a, b):
        if side.departed is not None:
            conclude(pair, side.departed, side)
    if trio.current_time() >= over_at:
        conclude(pair, Outcome.OVER_TIME)


async def pump(
    source: Endpoint, sink: Endpoint, scope: trio.CancelScope, read_size: int, patience: float
) -> None:
    """Send to sink what source sends, until source departs; then cancel scope.

    A sink that cannot be written any more does not end the pump: the other one reads it, and
    finds its close frame, or what became of it, behind all that it sent. If that takes longer than
    patience seconds, the pair is over all the same.
    """
    frames = source.take_held() or await source.receive(read_size)
    while frames:
        try:
            if not sink.wire.send_now(frames):
                await sink.wire.flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.deadline = min(scope.deadline, trio.current_time() + patience)
        if source.pay is not None:
            await source.pay(len(frames))
        frames = await source.receive(read_size)
    scope.cancel()


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
