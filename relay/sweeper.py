"""The task that finds the sides that waited too long."""

from __future__ import annotations

import trio

from .endpoint import Endpoint
from .outcome import Outcome
from .pair import conclude
from .rendezvous import Rendezvous

__all__ = ["sweep"]


async def sweep(pairs: Rendezvous[Endpoint], *, interval: float, ttl: float) -> None:
    """Every interval seconds, end the sides that have been alone for longer than ttl seconds.

    Runs until it is cancelled. A code is free at once; its side is closed by its own task.
    """
    while True:
        await trio.sleep(interval)
        for pair in pairs.expired(trio.current_time(), ttl):
            pairs.end(pair)
            conclude(pair, Outcome.EXPIRED)
