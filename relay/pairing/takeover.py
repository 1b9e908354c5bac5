"""Sides that are gone without a word, found because a newcomer wants their place.

A phone that changed its network leaves a connection behind that looks alive until a timeout. Its
new connection must not wait for that.
"""

from __future__ import annotations

import trio

from ..events import TakeoverChecked
from ..outcome import Outcome
from ..server.state import RelayState
from .pump import end_pair
from .rendezvous import Pair
from .side import Side

__all__ = ["SILENCE_BEFORE_CHECK", "evict_if_dead"]

SILENCE_BEFORE_CHECK = 5.0
"""Seconds for which a waiting side may have been silent before a newcomer has it pinged."""


async def evict_if_dead(state: RelayState, code: str, newcomer: trio.CancelScope) -> bool:
    """Check that the sides of the pair with this code are alive, for a newcomer that asks for it.

    Sides that may be dead are pinged, and get ``takeover_timeout`` to answer. If one does not, its
    pair is ended, and the code is free. Newcomers that come meanwhile wait for the same answers.
    Nothing is pinged if neither the newcomer nor a side showed the host token in force.

    Returns:
        True if this newcomer ended a pair, so that a new one replaces it.
    """
    settled, evicted = not state.settings.takeover_timeout, False
    while not settled:
        pair = state.pairs.find(code)
        if pair is None or pair.outcome is not None or not sides_to_check(pair):
            break
        if not any(map(state.admission.is_authorized, (newcomer, *scopes(pair)))):
            break
        if pair in state.takeover_checks:
            await state.takeover_checks[pair].wait()
        else:
            await check_alive(state, pair)
            evicted = pair.outcome is Outcome.EVICTED
        settled = pair.outcome is None
    return evicted


def sides_to_check(pair: Pair[Side]) -> list[Side]:
    """Return the sides of a pair that must prove to be alive before a newcomer has its answer."""
    if pair.b is not None:
        return [pair.a, pair.b]
    return [pair.a] if trio.current_time() - pair.a.heard_at > SILENCE_BEFORE_CHECK else []


def scopes(pair: Pair[Side]) -> list[trio.CancelScope]:
    """Return the scopes of the sides of a pair."""
    return [side.scope for side in (pair.a, pair.b) if side is not None]


async def check_alive(state: RelayState, pair: Pair[Side]) -> None:
    """Ping the sides of a pair that are in doubt, and end it if one of them is gone."""
    over = state.takeover_checks[pair] = trio.Event()
    trials = [AliveCheck(pair, side) for side in sides_to_check(pair)]
    timeout = state.settings.takeover_timeout
    try:
        with trio.move_on_after(timeout):
            for check in trials:
                await check.answered.wait()
        ghosts = [check.side for check in trials if not check.passed(timeout)]
        if pair.outcome is None:
            state.publish(TakeoverChecked(state.pair_id(pair.code), answered=not ghosts))
            if ghosts:
                state.pairs.end(pair)
                end_pair(pair, Outcome.EVICTED, ghosts[0])
    finally:
        del state.takeover_checks[pair]
        over.set()


class AliveCheck:
    """A ping that a side has to answer, or a reason why it cannot."""

    def __init__(self, pair: Pair[Side], side: Side) -> None:
        self.side = side
        self._peer = pair.b if side is pair.a else pair.a
        self._received = side.received
        self._excused = self._is_excused() or side.transport.unsent_bytes > 0
        self.answered = side.expect_answer()
        side.ping()

    def _is_excused(self) -> bool:
        """Return True if no pong can be heard now, or it comes behind data."""
        side = self.side
        return side.is_reading_paused(self._peer) or side.transport.write_blocked

    def passed(self, timeout: float) -> bool:
        """Return whether the side is alive, as far as can be known after timeout seconds."""
        side = self.side
        if side.received != self._received:
            return True
        if self._excused or self._is_excused():
            return side.transport.ack_state.seconds_since_ack < timeout
        # A relay that is behind with its reading has not looked for the answer yet.
        return side.transport.pending > 0
