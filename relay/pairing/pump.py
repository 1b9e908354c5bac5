"""Two endpoints, joined: a nursery with two pumps that cancel each other."""

from __future__ import annotations

import math

import trio

from ..outcome import Outcome
from ..settings import RelaySettings
from .rendezvous import Pair
from .side import Side

__all__ = ["end_pair", "run_pair"]


def end_pair(pair: Pair[Side], outcome: Outcome, cause: Side | None = None) -> None:
    """End both sides of a pair in this way, because of ``cause``; the first call decides.

    Each side is closed by its own task, with what the outcome has for it.
    """
    if pair.outcome is None:
        pair.outcome = outcome
    for side in (pair.a, pair.b):
        if side is not None:
            side.end(outcome.close_for_cause if side is cause else outcome.close_for_peer)


async def run_pair(pair: Pair[Side], a: Side, b: Side, settings: RelaySettings) -> None:
    """Move messages both ways until one side departs, or a limit is reached; then end both.

    What a departing side sent before has been sent to the other one by then. Neither endpoint is
    closed here.
    """
    over_at = trio.current_time() + (settings.max_pair_seconds or math.inf)
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = over_at
        for source, sink in ((a, b), (b, a)):
            nursery.start_soon(Pump(pair, source, sink, nursery.cancel_scope, settings).run)
    for side in (a, b):
        if side.departed is not None:
            end_pair(pair, side.departed, side)
    if trio.current_time() >= over_at:
        end_pair(pair, Outcome.OVER_TIME)


class Pump:
    """Sends to sink what source sends, until source departs; then cancels scope.

    A sink that cannot be written any more does not end the pump: the other one reads it, and
    finds its close frame, or what became of it, behind all that it sent. If that takes longer than
    ``close_timeout``, the pair is over all the same.
    """

    __slots__ = ("_limited", "_pair", "_scope", "_sent", "_settings", "_sink", "_source")

    def __init__(
        self,
        pair: Pair[Side],
        source: Side,
        sink: Side,
        scope: trio.CancelScope,
        settings: RelaySettings,
    ) -> None:
        self._pair = pair
        self._source = source
        self._sink = sink
        self._scope = scope
        self._settings = settings
        self._limited = bool(settings.max_bytes_per_second or settings.max_pair_bytes)
        self._sent = True

    async def run(self) -> None:
        """Do so. Its task sleeps for as long as messages pass and nobody has to wait."""
        source = self._source
        if held := source.take_held():
            self._send(held)
        while True:
            try:
                if not self._sent:
                    await self._sink.transport.flush()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._give_up_soon()
            if self._limited:
                await self._keep_to_limits()
            if source.departed is not None:
                break
            self._sent = True
            await source.receive(self._take)
        self._scope.cancel()

    def _take(self, data: bytes) -> bool:
        """Pass on what came; return True if there is something to wait for, or source departed."""
        source = self._source
        if frames := source.take(data):
            self._send(frames)
        return not self._sent or source.departed is not None or self._limited

    def _send(self, frames: bytes) -> None:
        try:
            self._sent = self._sink.transport.try_send(frames)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._give_up_soon()

    async def _keep_to_limits(self) -> None:
        """End the pair if it sent too much; wait until source may be read again."""
        passed_on = self._source.passed_on + self._sink.passed_on
        if 0 < self._settings.max_pair_bytes <= passed_on:
            end_pair(self._pair, Outcome.OVER_BYTES)
        await self._source.wait_for_rate_limit()

    def _give_up_soon(self) -> None:
        give_up_at = trio.current_time() + self._settings.close_timeout
        self._scope.deadline = min(self._scope.deadline, give_up_at)
