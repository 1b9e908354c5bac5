"""Wait between attempts to connect, and measure the time without a connection."""

from __future__ import annotations

import random
from typing import Final

import trio

from .errors import AnotherInitiator, ConnectionLost, EndpointError
from .events import Connected, OnEvent, Retrying, Waiting
from .retry import SHORT_DELAY, retry_delay

# Minimum duration, in seconds, of a successful connection. A shorter connection counts as a failed
# attempt in the same outage, so that a relay that cuts every connection gets few attempts.
STABLE: Final = 1.0


class Outage:
    """Time without a connection, and number of failed attempts in this time.

    It emits the events of a session, or, if ``session_id`` is None, of connections with the link
    code.
    """

    def __init__(self, session_id: str | None, on_event: OnEvent) -> None:
        self._session_id = session_id
        self._on_event = on_event
        self._since = trio.current_time()
        self._connected_at: float | None = None
        self._failures = 0
        self._is_waiting = False  # True if Waiting was emitted, and no failure since

    @property
    def duration(self) -> float:
        """Seconds since the end of the last connection that lasted, or since the first attempt."""
        return trio.current_time() - self._since

    def connected(self) -> None:
        """Record and report that a connection is established."""
        self._connected_at = trio.current_time()
        if self._session_id is not None:
            self._on_event(Connected(self._session_id))
        elif not self._is_waiting:
            self._is_waiting = True
            self._on_event(Waiting())

    async def wait(self, error: ConnectionLost | EndpointError) -> None:
        """Wait before the next attempt, after a failed attempt or the end of a connection.

        The expiry of a waiting side is no failure. It is not reported if the next attempt follows
        at once.
        """
        now = trio.current_time()
        connected_at, self._connected_at = self._connected_at, None
        lost = error if isinstance(error, ConnectionLost) else None
        is_stable = connected_at is not None and now >= connected_at + STABLE
        # An early error of the peer, such as a failed handshake, is no fault of the relay.
        if is_stable or (connected_at is not None and lost is None):
            self._since = now
        self._failures = 0 if is_stable else self._failures + 1
        fraction = random.random()  # noqa: S311 - not a secret
        if isinstance(error, AnotherInitiator) or (lost and lost.is_collision):
            delay = fraction * SHORT_DELAY
        else:
            retry_after = lost.retry_after if lost else 0.0
            delay = retry_delay(self._failures, self.duration, fraction, retry_after)
        if lost is None or not lost.is_expiry or delay > 0:
            self._is_waiting = False
            self._on_event(Retrying(self._session_id, str(error), delay))
        await trio.sleep(delay)
