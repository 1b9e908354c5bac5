"""End a stalled side, that is, a side that accepts none of its unsent data for ``stall_timeout``.

A side that reads slowly makes progress, so it is not stalled. The keepalive check records the
progress, and the sweeper then calls this module.
"""

from __future__ import annotations

from ..outcomes import Outcome
from .keepalive import KeepaliveState
from .pair import Pair
from .side import Side


def is_stalled(keepalive: KeepaliveState, timeout: float, now: float) -> bool:
    """Return True if a side has made no progress for ``timeout`` seconds. 0 turns the check off."""
    return 0 < timeout <= now - keepalive.progress_at


def end_if_stalled(pair: Pair, side: Side, timeout: float, now: float) -> None:
    """End the pair if this side is stalled. ``timeout`` is ``stall_timeout`` in seconds."""
    if is_stalled(side.keepalive, timeout, now):
        pair.end(Outcome.STALLED, side)
