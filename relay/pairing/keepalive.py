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

__all__ = ["Line", "Verdict", "Watch", "visit_interval"]

VISITS: Final = 16
"""Visits in the shortest of the times that are watched over, so that none is exceeded by much."""

# In which part of ping_interval a side has its first ping, in sixteenths: a visit may come one too
# late, and what was heard since the last one is taken to be as old as that one.
EARLIEST: Final = 13
LATEST: Final = 14

IN_VAIN: Final = 2
"""How often a system must be asked for an acknowledgement before its silence means anything.

One that has no room is asked ever more rarely, so one packet that is lost may silence it for long.
"""


class Verdict(Enum):
    """What a visit comes to."""

    FINE = "fine"
    PING = "ping"
    UNRESPONSIVE = "unresponsive"
    STALLED = "stalled"


class Line(Protocol):
    """What can be seen of the connection to a side."""

    @property
    def blocked(self) -> bool:
        """Whether frames wait because the connection has no room."""

    @property
    def queued(self) -> int:
        """Bytes that the system of the relay holds for the client."""

    @property
    def pending(self) -> int:
        """Bytes of the client that the relay has not read yet."""

    @property
    def uptake(self) -> tuple[int, float, int]:
        """A figure that changes with what the client takes, and how it owes an acknowledgement.

        That is for how many seconds none came, and how often it was asked for since.
        """


def visit_interval(settings: RelaySettings) -> float | None:
    """Return the seconds between two visits, or None if there is nothing to watch over."""
    times = [settings.ping_interval, settings.stall_timeout]
    return min((time / VISITS for time in times if time), default=None)


@dataclass(slots=True, eq=False)
class Watch:
    """What is remembered of a side from one visit to the next.

    ``luck``, from 0 to 1, spreads the pings of sides that came together.
    """

    luck: float
    came_at: InitVar[float]
    visited_at: float = field(init=False)
    """Also when the side came, before the first visit."""
    quiet_since: float = field(init=False)
    """Since when nothing was heard that should have been."""
    answered_at: float = field(init=False)
    """Time of the last check at which its system owed no acknowledgement."""
    tested_at: float = field(init=False)
    """Time of the last ping that was sent although the relay does not read this side."""
    received: int = 0
    pinged_at: float | None = None
    behind: bool = False
    """True if data waited for this side when it was pinged, so that its pong is late."""
    taken: int | None = None
    """Bytes acknowledged at the last check; None if no data waited for this side then."""
    took_at: float = 0.0

    def __post_init__(self, came_at: float) -> None:
        self.visited_at = self.quiet_since = self.answered_at = self.tested_at = came_at

    def visit(  # noqa: PLR0913 - all that a verdict depends on
        self,
        line: Line,
        settings: RelaySettings,
        now: float,
        *,
        received: int,
        unread: bool,
        alone: bool,
    ) -> Verdict:
        """Look at a side, and say what to do; the next visit takes for granted that it was done.

        ``received`` changes whenever something was received of the side, ``unread`` is whether the
        relay does not read it now, ``alone`` whether it waits for its peer.
        """
        before, self.visited_at = self.visited_at, now
        if received != self.received:
            self.received, self.quiet_since, self.pinged_at = received, before, None
        blocked = line.blocked
        if blocked or unread:
            self.quiet_since, self.pinged_at = now, None
            # Nobody reads its pong. But the system of a client that closed its socket answers a
            # ping with a reset, and no peer is there that could still get what that client sent.
            if alone and not blocked and 0 < self._patience(settings) <= now - self.tested_at:
                self.tested_at = now
                return Verdict.PING
            return self._judge_by_system(line, settings, now, waits=blocked)
        if self.pinged_at is not None and self.behind:
            if line.queued:
                return self._judge_by_system(line, settings, now, waits=True)
            self.behind, self.pinged_at = False, before
        self.taken, self.answered_at = None, now
        if self.pinged_at is not None:
            # A relay that is behind with its reading has not looked for the answer yet.
            late = now - self.pinged_at >= settings.ping_timeout and not line.pending
            return Verdict.UNRESPONSIVE if late else Verdict.FINE
        if 0 < self._patience(settings) <= now - self.quiet_since:
            self.pinged_at, self.behind = now, line.queued > 0
            return Verdict.PING
        return Verdict.FINE

    def _judge_by_system(
        self, line: Line, settings: RelaySettings, now: float, *, waits: bool
    ) -> Verdict:
        """Judge a side from which no pong can be expected, by what its system acknowledges."""
        taken, unanswered, vain = line.uptake
        if taken != self.taken or not waits:
            self.taken, self.took_at = taken, now
        elif 0 < settings.stall_timeout <= now - self.took_at:
            return Verdict.STALLED
        if vain < IN_VAIN:
            self.answered_at = now
        patience = self._patience(settings)
        # The last acknowledgement may be old only because there was nothing to acknowledge. So
        # it must be missing for a while, and what a short outage swallowed is no death.
        insists = now - self.answered_at >= settings.ping_timeout / 2
        if patience and insists and unanswered >= patience + settings.ping_timeout:
            return Verdict.UNRESPONSIVE
        return Verdict.FINE

    def _patience(self, settings: RelaySettings) -> float:
        """Return the seconds of silence after which the side is pinged; 0 if it never is."""
        return settings.ping_interval * (EARLIEST + self.luck * (LATEST - EARLIEST)) / VISITS
