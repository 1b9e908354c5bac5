"""Sides that are gone without a word, found because a newcomer wants their place.

A phone that changed its network leaves a connection behind that looks alive until a timeout. Its
new connection must not wait for that.
"""

from __future__ import annotations

import trio

from ..events import Probed
from ..outcome import Outcome
from ..server.state import Relay
from .pump import conclude
from .rendezvous import Pair
from .side import Endpoint

__all__ = ["SILENT", "drive_out_ghosts"]

SILENT = 5.0
"""Seconds for which a waiting side may have been silent before a newcomer has it pinged."""


async def drive_out_ghosts(relay: Relay, code: str, newcomer: trio.CancelScope) -> bool:
    """Check that the sides of the pair with this code are alive, for a newcomer that asks for it.

    Sides that may be dead are pinged, and get ``probe_timeout`` to answer. If one does not, its
    pair is ended, and the code is free. Newcomers that come meanwhile wait for the same answers.
    Nothing is pinged if neither the newcomer nor a side showed the host token in force.

    Returns:
        True if this newcomer ended a pair, so that a new one replaces it.
    """
    settled, evicted = not relay.settings.probe_timeout, False
    while not settled:
        pair = relay.pairs.find(code)
        if pair is None or pair.outcome is not None or not in_doubt(pair):
            break
        if not any(map(relay.entrance.is_authorized, (newcomer, *scopes(pair)))):
            break
        if pair in relay.probes:
            await relay.probes[pair].wait()
        else:
            await probe(relay, pair)
            evicted = pair.outcome is Outcome.EVICTED
        settled = pair.outcome is None
    return evicted


def in_doubt(pair: Pair[Endpoint]) -> list[Endpoint]:
    """Return the sides of a pair that must prove to be alive before a newcomer has its answer."""
    if pair.b is not None:
        return [pair.a, pair.b]
    return [pair.a] if trio.current_time() - pair.a.heard_at > SILENT else []


def scopes(pair: Pair[Endpoint]) -> list[trio.CancelScope]:
    """Return the scopes of the sides of a pair."""
    return [side.scope for side in (pair.a, pair.b) if side is not None]


async def probe(relay: Relay, pair: Pair[Endpoint]) -> None:
    """Ping the sides of a pair that are in doubt, and end it if one of them is gone."""
    over = relay.probes[pair] = trio.Event()
    trials = [Trial(pair, side) for side in in_doubt(pair)]
    timeout = relay.settings.probe_timeout
    try:
        with trio.move_on_after(timeout):
            for trial in trials:
                await trial.answered.wait()
        ghosts = [trial.side for trial in trials if not trial.passed(timeout)]
        if pair.outcome is None:
            relay.notice(Probed(relay.hash_of(pair.code), answered=not ghosts))
            if ghosts:
                relay.pairs.end(pair)
                conclude(pair, Outcome.EVICTED, ghosts[0])
    finally:
        del relay.probes[pair]
        over.set()


class Trial:
    """A ping that a side has to answer, or a reason why it cannot."""

    def __init__(self, pair: Pair[Endpoint], side: Endpoint) -> None:
        self.side = side
        self._peer = pair.b if side is pair.a else pair.a
        self._received = side.received
        # Not heard while the relay does not read it, and late where a pong comes behind data.
        self._excused = side.is_unread(self._peer) or side.wire.blocked or side.wire.queued > 0
        self.answered = side.expect_answer()
        side.ping()

    def passed(self, timeout: float) -> bool:
        """Return whether the side is alive, as far as can be known after timeout seconds."""
        side = self.side
        if side.received != self._received:
            return True
        if self._excused or side.is_unread(self._peer):
            return side.wire.uptake.unanswered < timeout
        # A relay that is behind with its reading has not looked for the answer yet.
        return side.wire.pending > 0
