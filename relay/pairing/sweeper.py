"""The sweeper: the one task that finds sides that waited too long, left unseen, or take nothing.

It also clears away what is remembered of clients that came and went.
"""

from __future__ import annotations

import trio

from ..limits.admission import AdmissionControl
from ..outcome import Outcome
from ..settings import RelaySettings
from .keepalive import Verdict, check_interval
from .pump import end_pair
from .rendezvous import Pair, Rendezvous
from .side import Side

__all__ = ["sweep"]

PAIRS_PER_CHECKPOINT = 100
"""Pairs that are looked at without letting other tasks run."""


async def sweep(
    pairs: Rendezvous[Side], admission: AdmissionControl, settings: RelaySettings
) -> None:
    """End lone sides that are over ``pair_ttl``, and sides that are gone or take nothing.

    Runs until it is cancelled. A code is free at once; its sides are closed by their own tasks.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expire_waiting, pairs, admission, settings)
        interval = check_interval(settings)
        if interval is not None:
            nursery.start_soon(check_keepalives, pairs, settings, interval)


async def expire_waiting(
    pairs: Rendezvous[Side], admission: AdmissionControl, settings: RelaySettings
) -> None:
    """Every ``sweep_interval``, end the sides that have been alone for longer than ``pair_ttl``.

    Also forget the clients whose attempts were long ago: nothing else does where nobody comes.
    """
    while True:
        await trio.sleep(settings.sweep_interval)
        for pair in pairs.expired(trio.current_time(), settings.pair_ttl):
            pairs.end(pair)
            end_pair(pair, Outcome.EXPIRED)
        admission.client_limits.prune(trio.current_time())


async def check_keepalives(
    pairs: Rendezvous[Side], settings: RelaySettings, interval: float
) -> None:
    """Every interval seconds, ping the sides that are silent, and end those that are gone."""
    while True:
        await trio.sleep(interval)
        for number, pair in enumerate(pairs):
            if number % PAIRS_PER_CHECKPOINT == PAIRS_PER_CHECKPOINT - 1:
                await trio.lowlevel.checkpoint()
            check_pair(pairs, pair, settings, trio.current_time())


def check_pair(
    pairs: Rendezvous[Side], pair: Pair[Side], settings: RelaySettings, now: float
) -> None:
    """Look at both sides of a pair, unless it ended meanwhile."""
    for side, peer in ((pair.a, pair.b), (pair.b, pair.a)):
        if side is None or pair.outcome is not None:
            continue
        verdict = side.keepalive.check(
            side.transport,
            settings,
            now,
            received=side.received,
            reading_paused=side.is_reading_paused(peer),
            alone=peer is None,
        )
        if verdict is Verdict.PING:
            side.ping()
        elif verdict is not Verdict.OK:
            pairs.end(pair)
            end_pair(pair, OUTCOMES[verdict], side)


OUTCOMES = {Verdict.UNRESPONSIVE: Outcome.UNRESPONSIVE, Verdict.STALLED: Outcome.STALLED}
