"""Takeover check: find the dead side of a pair when a client arrives with the pair's code.

When a phone changes networks, its old connection looks alive until the keepalive timeout. Until
then, the relay would refuse the phone's new connection. So the server evicts a pair if one of its
sides does not answer this check.
"""

from __future__ import annotations

import trio

from .pair import Pair
from .side import Side

SILENCE_BEFORE_CHECK = 5.0
"""Seconds of silence after which a waiting side is checked before a client joins it."""


def sides_to_check(pair: Pair) -> tuple[Side, ...]:
    """Return the sides to ping when a client arrives with the pair's code.

    Both sides of a joined pair are pinged. A waiting side is pinged only if it has been silent for
    `SILENCE_BEFORE_CHECK` seconds.
    """
    silent = trio.current_time() - pair.a.heard_at > SILENCE_BEFORE_CHECK
    return pair.sides if silent or pair.b is not None else ()


async def find_dead_side(pair: Pair, takeover_timeout: float) -> Side | None:
    """Ping the sides of `sides_to_check`; return one that shows no sign of life in time, or None.

    ``takeover_timeout`` is in seconds. If the pair has ended in the meantime, the caller must
    ignore the result. Cancellation stops the check.
    """
    pair.checked = trio.Event()
    checks = [AliveCheck(pair, side) for side in sides_to_check(pair)]
    try:
        with trio.move_on_after(takeover_timeout):
            for check in checks:
                await check.answered.wait()
    finally:
        pair.checked.set()
        pair.checked = None
    dead = (check.side for check in checks if not check.passed(takeover_timeout))
    return next(dead, None)


class AliveCheck:
    """Check of one side. The constructor sends a ping, and `passed` looks for a sign of life."""

    def __init__(self, pair: Pair, side: Side) -> None:
        self.side = side
        self._pair = pair
        self._received = side.received
        self._excused = self._is_excused() or side.transport.unsent_bytes > 0
        self.answered = side.expect_answer()
        side.ping()

    def _is_excused(self) -> bool:
        """Return True if no answer is expected, because reading is paused or writes are blocked."""
        side = self.side
        return self._pair.is_reading_paused(side) or side.transport.write_blocked

    def passed(self, timeout: float) -> bool:
        """Return True if the side has shown a sign of life.

        Any byte that the relay has read since the check began is a sign of life, and so is a byte
        that waits unread in the socket. If no answer can be expected, unread bytes do not count,
        but an acknowledgement within the last ``timeout`` seconds does.
        """
        side = self.side
        if side.received != self._received:
            return True
        if self._excused or self._is_excused():
            return side.transport.ack_state.seconds_since_ack < timeout
        # A busy relay may not have read the answer yet.
        return side.transport.pending > 0
