"""The sweeper: end sides that expired, are unresponsive, or stall.

It also prunes the token buckets of the limits per client.
"""

from __future__ import annotations

import trio

from ..limits.admission import AdmissionControl
from ..outcomes import Outcome
from ..settings import RelaySettings
from .keepalive import KeepaliveResult, check_interval
from .pair import Pair
from .rendezvous import Rendezvous

PAIRS_PER_CHECKPOINT = 100
"""Number of pairs checked before other tasks run."""


async def sweep(pairs: Rendezvous, admission: AdmissionControl, settings: RelaySettings) -> None:
    """End waiting sides after ``pair_ttl``, and unresponsive and stalled sides.

    Runs until it is cancelled. The code is freed at once; the tasks of the sides close them.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expire_waiting, pairs, admission, settings)
        interval = check_interval(settings)
        if interval is not None:
            nursery.start_soon(check_keepalives, pairs, settings, interval)


async def expire_waiting(
    pairs: Rendezvous, admission: AdmissionControl, settings: RelaySettings
) -> None:
    """End the sides that waited for longer than ``pair_ttl``, every ``sweep_interval``.

    Also prune the limits per client, because otherwise only new connections prune them.
    """
    while True:
        await trio.sleep(settings.sweep_interval)
        for pair in pairs.expired(trio.current_time(), settings.pair_ttl):
            pair.end(Outcome.EXPIRED)
        admission.client_limits.prune(trio.current_time())


async def check_keepalives(pairs: Rendezvous, settings: RelaySettings, interval: float) -> None:
    """Ping silent sides, and end unresponsive and stalled ones, every ``interval`` seconds."""
    while True:
        await trio.sleep(interval)
        for number, pair in enumerate(pairs):
            if number % PAIRS_PER_CHECKPOINT == PAIRS_PER_CHECKPOINT - 1:
                await trio.lowlevel.checkpoint()
            check_pair(pair, settings, trio.current_time())


def check_pair(pair: Pair, settings: RelaySettings, now: float) -> None:
    """Check both sides of a pair, unless the pair ended meanwhile."""
    for side in pair.sides:
        if pair.outcome is not None:
            break
        result = side.keepalive.check(
            side.transport,
            settings,
            now,
            received=side.received,
            reading_paused=pair.is_reading_paused(side),
            alone=pair.b is None,
        )
        if result is KeepaliveResult.PING:
            side.ping()
        elif result is not KeepaliveResult.OK:
            pair.end(OUTCOMES[result], side)


OUTCOMES = {
    KeepaliveResult.UNRESPONSIVE: Outcome.UNRESPONSIVE,
    KeepaliveResult.STALLED: Outcome.STALLED,
}
