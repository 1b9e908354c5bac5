"""Two endpoints, joined: a nursery with two pumps that cancel each other."""

from __future__ import annotations

import trio

from .endpoint import Endpoint
from .outcome import Outcome
from .rendezvous import Pair

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


async def run_pair(pair: Pair[Endpoint], a: Endpoint, b: Endpoint) -> None:
    """Move messages both ways until one side departs, then end both.

    What a departing side sent before has been sent to the other one by then. Neither endpoint is
    closed here.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump, a, b, nursery.cancel_scope)
        nursery.start_soon(pump, b, a, nursery.cancel_scope)
    for side in (a, b):
        if side.departed is not None:
            conclude(pair, side.departed, side)


async def pump(source: Endpoint, sink: Endpoint, scope: trio.CancelScope) -> None:
    """Send to sink what source sends, until source departs; then cancel scope.

    A sink that cannot be written any more does not end the pump: the other one reads it, and
    finds its close frame, or what became of it, behind all that it sent. If source does not take
    that in time, the pair is over all the same.
    """
    frames = source.take_held() or await source.receive()
    while frames:
        try:
            await sink.wire.send_all(frames)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            scope.deadline = min(scope.deadline, trio.current_time() + sink.patience)
        frames = await source.receive()
    scope.cancel()
