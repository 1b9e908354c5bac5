"""The sweeper: the one task that finds sides that waited too long, left unseen, or take nothing.

It also clears away what is remembered of clients that came and went.
"""

from __future__ import annotations

import trio

from ..limits.admission import Entrance
from ..outcome import Outcome
from ..settings import RelaySettings
from .keepalive import Verdict, visit_interval
from .pump import conclude
from .rendezvous import Pair, Rendezvous
from .side import Endpoint

__all__ = ["sweep"]

AT_ONCE = 100
"""Pairs that are looked at without letting other tasks run."""


async def sweep(pairs: Rendezvous[Endpoint], entrance: Entrance, settings: RelaySettings) -> None:
    """End lone sides that are over ``pair_ttl``, and sides that are gone or take nothing.

    Runs until it is cancelled. A code is free at once; its sides are closed by their own tasks.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_expired, pairs, entrance, settings)
        interval = visit_interval(settings)
        if interval is not None:
            nursery.start_soon(visit_sides, pairs, settings, interval)


async def end_expired(
    pairs: Rendezvous[Endpoint], entrance: Entrance, settings: RelaySettings
) -> None:
    """Every ``sweep_interval``, end the sides that have been alone for longer than ``pair_ttl``.

    Also forget the clients whose attempts were long ago: nothing else does where nobody comes.
    """
    while True:
        await trio.sleep(settings.sweep_interval)
        for pair in pairs.expired(trio.current_time(), settings.pair_ttl):
            pairs.end(pair)
            conclude(pair, Outcome.EXPIRED)
        entrance.admission.forget(trio.current_time())


async def visit_sides(
    pairs: Rendezvous[Endpoint], settings: RelaySettings, interval: float
) -> None:
    """Every interval seconds, ping the sides that are silent, and end those that are gone."""
    while True:
        await trio.sleep(interval)
        for number, pair in enumerate(pairs):
            if number % AT_ONCE == AT_ONCE - 1:
                await trio.lowlevel.checkpoint()
            visit(pairs, pair, settings, trio.current_time())


def visit(
    pairs: Rendezvous[Endpoint], pair: Pair[Endpoint], settings: RelaySettings, now: float
) -> None:
    """Look at both sides of a pair, unless it ended meanwhile."""
    for side, peer in ((pair.a, pair.b), (pair.b, pair.a)):
        if side is None or pair.outcome is not None:
            continue
        verdict = side.watch.visit(
            side.wire,
            settings,
            now,
            received=side.received,
            unread=side.is_unread(peer),
            alone=peer is None,
        )
        if verdict is Verdict.PING:
            side.ping()
        elif verdict is not Verdict.FINE:
            pairs.end(pair)
            conclude(pair, ENDS[verdict], side)


ENDS = {Verdict.UNRESPONSIVE: Outcome.UNRESPONSIVE, Verdict.STALLED: Outcome.STALLED}
