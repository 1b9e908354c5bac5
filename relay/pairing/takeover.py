"""Takeover check: evict a pair with a dead side when a client arrives with its code.

A phone that changes its network leaves a connection that looks alive until the keepalive timeout.
The new connection of the phone must not be refused until then.
"""

from __future__ import annotations

import trio

from ..events import Outcome, TakeoverChecked
from ..server.state import RelayState
from .pump import end_pair
from .rendezvous import Pair
from .side import Side

__all__ = ["SILENCE_BEFORE_CHECK", "evict_if_dead"]

SILENCE_BEFORE_CHECK = 5.0
"""Seconds of silence after which a waiting side is checked before a client joins it."""


async def evict_if_dead(state: RelayState, code: str, newcomer: trio.CancelScope) -> bool:
    """Check the sides of the pair with this code, and evict the pair if a side is dead.

    The relay pings the sides that may be dead and waits for ``takeover_timeout``. If one does not
    answer, the pair ends and the code is free. Other clients that arrive with the code during the
    check wait for its result. If the relay has a token, no side is pinged unless the new client
    or a side showed it.

    Args:
        state: State of the relay.
        code: Pair code of the new client.
        newcomer: Scope of the connection of the new client.

    Returns:
        True if the check of this client evicted a pair.
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
    """Return the sides of a pair that must answer a ping before a client joins or is refused."""
    if pair.b is not None:
        return [pair.a, pair.b]
    return [pair.a] if trio.current_time() - pair.a.heard_at > SILENCE_BEFORE_CHECK else []


def scopes(pair: Pair[Side]) -> list[trio.CancelScope]:
    """Return the cancel scopes of the sides of a pair."""
    return [side.scope for side in (pair.a, pair.b) if side is not None]


async def check_alive(state: RelayState, pair: Pair[Side]) -> None:
    """Ping the sides to check, and evict the pair if a side does not answer in time."""
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
    """A takeover ping to a side, and the evidence that the side is alive."""

    def __init__(self, pair: Pair[Side], side: Side) -> None:
        self.side = side
        self._peer = pair.b if side is pair.a else pair.a
        self._received = side.received
        self._excused = self._is_excused() or side.transport.unsent_bytes > 0
        self.answered = side.expect_answer()
        side.ping()

    def _is_excused(self) -> bool:
        """Return True if no pong is read now, or unsent data delays the ping."""
        side = self.side
        return side.is_reading_paused(self._peer) or side.transport.write_blocked

    def passed(self, timeout: float) -> bool:
        """Return True if the side is alive, as far as known after timeout seconds."""
        side = self.side
        if side.received != self._received:
            return True
        if self._excused or self._is_excused():
            return side.transport.ack_state.seconds_since_ack < timeout
        # A busy relay may not have read the answer yet.
        return side.transport.pending > 0
