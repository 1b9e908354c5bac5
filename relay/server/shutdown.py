"""Stop a relay in phases.

A graceful shutdown first refuses new sides for ``drain_delay``. With ``close_listeners``, it closes
the listeners instead. It then closes the sides that wait for a peer, and after them all other
sides. It waits at most ``close_timeout`` for the clients to disconnect. Cancellation of the relay
skips these phases.

A graceful shutdown and a cancellation both end with `stop_at_once`, which closes every remaining
side and cancels every connection. The closing handshakes still run, because they are outside the
cancel scopes of the connections, but each of them takes at most ``close_timeout``. So the relay
ends in bounded time.
"""

from __future__ import annotations

import trio

from ..outcomes import Outcome
from .accept import Accepting
from .state import Phase, RelayState


async def stop_gracefully(state: RelayState, accepting: Accepting) -> None:
    """Refuse new sides or close the listeners, then close all sides and wait until they are closed.

    This takes at most ``drain_delay`` plus ``close_timeout``.
    """
    state.enter(Phase.DRAINING)
    if state.close_listeners:
        accepting.stop()
    elif state.settings.drain_delay:
        await trio.sleep(state.settings.drain_delay)
    with trio.move_on_after(state.settings.close_timeout):
        state.enter(Phase.STOPPING)
        waiting = [pair for pair in state.pairs if pair.b is None]
        for pair in waiting:
            pair.end(Outcome.STOPPED)
        for pair in waiting:
            await pair.over.wait()
        end_pairs(state)
        if state.close_listeners:
            await accepting.finished.wait()
        # If the listeners are closed, every accepted connection is served to its end. Otherwise,
        # the relay does not wait for connections without a slot, such as those in their handshake.
        while state.admission.slots or (state.close_listeners and state.connections):
            await state.wait_for_release()


def stop_at_once(state: RelayState) -> None:
    """Close every side and cancel every connection."""
    state.enter(Phase.STOPPED)
    end_pairs(state)
    for connection in state.connections:
        connection.cancel()


def end_pairs(state: RelayState) -> None:
    """End every pair, which closes both of its sides with 1001."""
    for pair in state.pairs:
        pair.end(Outcome.STOPPED)
