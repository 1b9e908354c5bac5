"""Takeover: evict a pair with a dead side when a client arrives with the pair's code."""

from __future__ import annotations

from ..events import TakeoverChecked
from ..outcomes import Outcome
from ..pairing.alive_check import find_dead_side, sides_to_check
from .state import RelayState


async def evict_dead(state: RelayState, code: str, authorization: int) -> bool:
    """Evict the pair with this code if one of its sides is dead. Return True if this call did so.

    The relay pings the sides that may be dead, and waits at most ``takeover_timeout`` for answers.
    If a side does not answer, the pair ends and the code is free. Other clients that arrive with
    the code during the check wait for its result. A relay with a token skips the check unless the
    new client or a side of the pair has shown the token.
    """
    evicted, takeover_timeout = False, state.settings.takeover_timeout
    while takeover_timeout and (pair := state.pairs.find(code)) is not None:
        authorizations = (authorization, *(side.authorization for side in pair.sides))
        if not sides_to_check(pair) or not any(map(state.admission.is_authorized, authorizations)):
            break
        if pair.checked is not None:
            await pair.checked.wait()
        else:
            dead = await find_dead_side(pair, takeover_timeout)
            if pair.outcome is None:
                state.publish(TakeoverChecked(state.hash_code(code), answered=dead is None))
                if dead is not None:
                    pair.end(Outcome.EVICTED, dead)
            evicted = pair.outcome is Outcome.EVICTED
        if pair.outcome is None:
            break
    return evicted
