"""When a side is pinged, and when it is given up: for silence, or for taking nothing.

Pure: what can be seen of a side is read from it, and time is an argument. The sweeper pays every
side a visit now and then; nothing is done, and no clock is read, when a message passes.

Backpressure must not look like death. A side that the relay does not read cannot be heard, and from
one that had data waiting when it was pinged the pong comes behind all that. For such a side the
acknowledgements of its system speak instead, where the relay's system tells them.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from enum import Enum
from typing import Final, Protocol

from ..settings import RelaySettings

__all__ = ["KeepaliveState", "TransportState", "Verdict", "check_interval"]

CHECKS_PER_TIMEOUT: Final = 16
"""Visits in the shortest of the times that are watched over, so that none is exceeded by much."""

# In which part of ping_interval a side has its first ping, in sixteenths: a visit may come one too
# late, and what was heard since the last one is taken to be as old as that one.
EARLIEST: Final = 13
LATEST: Final = 14

MIN_UNACKED_PROBES: Final = 2
"""How often a system must be asked for an acknowledgement before its silence means anything.

One that has no room is asked ever more rarely, so one packet that is lost may silence it for long.
"""


class Verdict(Enum):
    """What a visit comes to."""

    OK = "fine"
    PING = "ping"
    UNRESPONSIVE = "unresponsive"
    STALLED = "stalled"


class TransportState(Protocol):
    """What can be seen of the connection to a side."""

    @property
    def write_blocked(self) -> bool:
        """Whether frames wait because the connection has no room."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the system of the relay holds for the client."""

    @property
    def pending(self) -> int:
        """Bytes of the client that the relay has not read yet."""

    @property
    def ack_state(self) -> tuple[int, float, int]:
        """A figure that changes with what the client takes, and how it owes an acknowledgement.

        That is for how many seconds none came, and how often it was asked for since.
        """


def check_interval(settings: RelaySettings) -> float | None:
    """Return the seconds between two visits, or None if there is nothing to watch over."""
    times = [settings.ping_interval, settings.stall_timeout]
    return min((time / CHECKS_PER_TIMEOUT for time in times if time), default=None)


@dataclass(slots=True, eq=False)
class KeepaliveState:
    """What is remembered of a side from one visit to the next.

    ``jitter``, from 0 to 1, spreads the pings of sides that came together.
    """

    jitter: float
    came_at: InitVar[float]
    checked_at: float = field(init=False)
    """Also when the side came, before the first visit."""
    silent_since: float = field(init=False)
    """Since when nothing was heard that should have been."""
    answered_at: float = field(init=False)
    """Time of the last check at which its system owed no acknowledgement."""
    tested_at: float = field(init=False)
    """Time of the last ping that was sent although the relay does not read this side."""
    received: int = 0
    pinged_at: float | None = None
    pong_delayed_by_data: bool = False
    """True if data waited for this side when it was pinged, so that its pong is late."""
    acked_bytes: int | None = None
    """Bytes acknowledged at the last check; None if no data waited for this side then."""
    acked_at: float = 0.0

    def __post_init__(self, came_at: float) -> None:
        self.checked_at = self.silent_since = self.answered_at = self.tested_at = came_at

    def check(  # noqa: PLR0913 - all that a verdict depends on
        self,
        transport: TransportState,
        settings: RelaySettings,
        now: float,
        *,
        received: int,
        reading_paused: bool,
        alone: bool,
    ) -> Verdict:
        """Look at a side, and say what to do; the next visit takes for granted that it was done.

        ``received`` changes whenever something was received of the side, ``unread`` is whether the
        relay does not read it now, ``alone`` whether it waits for its peer.
        """
        before, self.checked_at = self.checked_at, now
        if received != self.received:
            self.received, self.silent_since, self.pinged_at = received, before, None
        blocked = transport.write_blocked
        if blocked or reading_paused:
            self.silent_since, self.pinged_at = now, None
            # Nobody reads its pong. But the system of a client that closed its socket answers a
            # ping with a reset, and no peer is there that could still get what that client sent.
            if alone and not blocked and 0 < self._ping_after(settings) <= now - self.tested_at:
                self.tested_at = now
                return Verdict.PING
            return self._check_acknowledgements(transport, settings, now, waits=blocked)
        if self.pinged_at is not None and self.pong_delayed_by_data:
            if transport.unsent_bytes:
                return self._check_acknowledgements(transport, settings, now, waits=True)
            self.pong_delayed_by_data, self.pinged_at = False, before
        self.acked_bytes, self.answered_at = None, now
        if self.pinged_at is not None:
            # A relay that is behind with its reading has not looked for the answer yet.
            late = now - self.pinged_at >= settings.ping_timeout and not transport.pending
            return Verdict.UNRESPONSIVE if late else Verdict.OK
        if 0 < self._ping_after(settings) <= now - self.silent_since:
            self.pinged_at, self.pong_delayed_by_data = now, transport.unsent_bytes > 0
            return Verdict.PING
        return Verdict.OK

    def _check_acknowledgements(
        self, transport: TransportState, settings: RelaySettings, now: float, *, waits: bool
    ) -> Verdict:
        """Judge a side from which no pong can be expected, by what its system acknowledges."""
        taken, unanswered, vain = transport.ack_state
        if taken != self.acked_bytes or not waits:
            self.acked_bytes, self.acked_at = taken, now
        elif 0 < settings.stall_timeout <= now - self.acked_at:
            return Verdict.STALLED
        if vain < MIN_UNACKED_PROBES:
            self.answered_at = now
        patience = self._ping_after(settings)
        # The last acknowledgement may be old only because there was nothing to acknowledge. So
        # it must be missing for a while, and what a short outage swallowed is no death.
        insists = now - self.answered_at >= settings.ping_timeout / 2
        if patience and insists and unanswered >= patience + settings.ping_timeout:
            return Verdict.UNRESPONSIVE
        return Verdict.OK

    def _ping_after(self, settings: RelaySettings) -> float:
        """Return the seconds of silence after which the side is pinged; 0 if it never is."""
        return (
            settings.ping_interval
            * (EARLIEST + self.jitter * (LATEST - EARLIEST))
            / CHECKS_PER_TIMEOUT
        )
