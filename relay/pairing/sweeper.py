"""The sweeper: end sides that have expired, or that are unresponsive or stalled.

The sweeper also drops the full token buckets of clients, and reports dropped text messages.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from ..limits.admission import AdmissionControl
from ..outcomes import Outcome
from ..settings import RelaySettings
from .keepalive import KeepaliveResult, check_interval
from .pair import Pair
from .rendezvous import Rendezvous
from .stall import end_if_stalled

PAIRS_PER_CHECKPOINT = 100
"""Number of pairs that are checked in a row before other tasks can run."""

TEXT_INTERVAL = 1.0
"""Seconds between two searches for dropped text messages."""


async def sweep(
    pairs: Rendezvous,
    admission: AdmissionControl,
    settings: RelaySettings,
    report_text: Callable[[Pair], None],
) -> None:
    """End expired, unresponsive and stalled sides, until cancelled.

    The code of an ended pair is freed immediately. The task of each side then closes the side.
    Every `TEXT_INTERVAL` seconds, ``report_text`` is called with each pair.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expire_waiting, pairs, admission, settings)
        nursery.start_soon(visit, pairs, TEXT_INTERVAL, report_text)
        interval = check_interval(settings)
        if interval is not None:
            check = partial(check_pair, settings)
            nursery.start_soon(visit, pairs, interval, check)


async def expire_waiting(
    pairs: Rendezvous, admission: AdmissionControl, settings: RelaySettings
) -> None:
    """Every ``sweep_interval``, end the sides that have waited for longer than ``pair_ttl``.

    Also drop the full token buckets of clients. Without this, only new connections would drop them.
    """
    while True:
        await trio.sleep(settings.sweep_interval)
        for pair in pairs.expired(trio.current_time(), settings.pair_ttl):
            pair.end(Outcome.EXPIRED)
        admission.client_limits.prune(trio.current_time())


async def visit(pairs: Rendezvous, interval: float, check: Callable[[Pair], None]) -> None:
    """Every ``interval`` seconds, call ``check`` with each pair, even one that has just ended."""
    while True:
        await trio.sleep(interval)
        for number, pair in enumerate(pairs):
            if number % PAIRS_PER_CHECKPOINT == PAIRS_PER_CHECKPOINT - 1:
                await trio.lowlevel.checkpoint()
            check(pair)


def check_pair(settings: RelaySettings, pair: Pair) -> None:
    """Ping silent sides of a pair, and end the pair if a side is unresponsive or stalled."""
    now = trio.current_time()
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
            continue
        end_if_stalled(pair, side, settings.stall_timeout, now)
        if result is KeepaliveResult.UNRESPONSIVE:
            pair.end(Outcome.UNRESPONSIVE, side)
