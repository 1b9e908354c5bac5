"""Two endpoints, joined: a nursery with two pumps that cancel each other."""

from __future__ import annotations

import trio

from .endpoint import PEER_DISCONNECTED, Endpoint

__all__ = ["run_pair"]


async def run_pair(a: Endpoint, b: Endpoint) -> None:
    """Move messages both ways until one side departs, then end both.

    What a departing side sent before has been sent to the other one by then. Neither endpoint is
    closed here.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump, a, b, nursery.cancel_scope)
        nursery.start_soon(pump, b, a, nursery.cancel_scope)
    a.end(b.peer_code, PEER_DISCONNECTED)
    b.end(a.peer_code, PEER_DISCONNECTED)


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
