"""When a side is pinged, and when it is given up: for silence, or for taking nothing.

Pure: what can be seen of a side is read from it, and time is an argument. The sweeper pays every
side a visit now and then; nothing is done, and no clock is read, when a message passes.

Backpressure must not look like death. A side that the relay does not read cannot be heard, and from
one that has data waiting a pong would come behind all that. For such a side the acknowledgements of
its system speak instead, where the relay's system tells them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from .settings import RelaySettings

__all__ = ["Line", "Verdict", "Watch", "visit_interval"]

VISITS: Final = 16
"""Visits in the shortest of the times that are watched over, so that none is exceeded by much."""

# In which part of ping_interval a side has its first ping, in sixteenths: a visit may come one too
# late, and what was heard since the last one is taken to be as old as that one.
EARLIEST: Final = 13
LATEST: Final = 14


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
    def uptake(self) -> tuple[int, float]:
        """Bytes the client took in all; seconds since it acknowledged, if it should have."""


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
    visited_at: float
    """Also when the side came, before the first visit."""
    quiet_since: float
    """Since when nothing was heard that should have been."""
    reads: int = 0
    pinged_at: float | None = None
    taken: int = 0
    took_at: float = 0.0

    def visit(
        self, line: Line, settings: RelaySettings, now: float, *, reads: int, unread: bool
    ) -> Verdict:
        """Look at a side, and say what to do; the next visit takes for granted that it was done.

        ``reads`` changes whenever something was received of the side, ``unread`` is whether the
        relay does not read it now.
        """
        before, self.visited_at = self.visited_at, now
        if reads != self.reads:
            self.reads, self.quiet_since, self.pinged_at = reads, before, None
        quiet, blocked = self._is_quiet(settings, now), line.blocked
        waits = blocked or (quiet and line.queued > 0)
        if waits or unread:
            return self._judge_by_system(line, settings, now, waits=waits, deaf=blocked or unread)
        self.took_at = now
        if self.pinged_at is not None:
            late = now - self.pinged_at >= settings.ping_timeout
            return Verdict.UNRESPONSIVE if late else Verdict.FINE
        if quiet:
            self.pinged_at = now
            return Verdict.PING
        return Verdict.FINE

    def _judge_by_system(
        self, line: Line, settings: RelaySettings, now: float, *, waits: bool, deaf: bool
    ) -> Verdict:
        """Judge a side from which no pong can be expected, by what its system acknowledges."""
        taken, unanswered = line.uptake
        if taken != self.taken or not waits:
            self.taken, self.took_at = taken, now
        elif 0 < settings.stall_timeout <= now - self.took_at:
            return Verdict.STALLED
        if settings.ping_interval and unanswered >= settings.ping_interval + settings.ping_timeout:
            return Verdict.UNRESPONSIVE
        if deaf or self.took_at == now:
            self.quiet_since, self.pinged_at = now, None
        return Verdict.FINE

    def _is_quiet(self, settings: RelaySettings, now: float) -> bool:
        """Return whether it is time for a ping."""
        patience = settings.ping_interval * (EARLIEST + self.luck * (LATEST - EARLIEST)) / VISITS
        return 0 < patience <= now - self.quiet_since and self.pinged_at is None
