"""Decide when to ping a silent side, and when to end an unresponsive or stalled one.

Pure: the state of the transport and the time are arguments. The sweeper checks every side at
intervals. Forwarding a message does no keepalive work and reads no clock.

Keepalive under backpressure: a live side may be unable to answer a ping in time. The relay receives
no pong from a side that it does not read, because the peer is slow, early data is full or the rate
limit applies. A side with unsent data receives the ping only after that data. In both cases silence
proves nothing, so the acknowledgements of TCP replace the pong: the kernel of a live client
acknowledges retransmissions and window probes even if its program does not read. A side is
unresponsive if these stay unacknowledged, and stalled if it accepts no data for ``stall_timeout``.
On platforms that do not report acknowledgements, only the stall timeout applies to such a side.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from enum import Enum
from typing import Final, Protocol

from ..settings import RelaySettings

CHECKS_PER_TIMEOUT: Final = 16
"""Checks per shortest timeout. A timeout is overshot by at most a sixteenth of the shortest."""

# Bounds of the silence before a ping, in sixteenths of ping_interval. They leave room for two
# errors of one check interval each: a check may be that late, and bytes received since the last
# check count as received at that check.
EARLIEST: Final = 13
LATEST: Final = 14

MIN_UNACKED_PROBES: Final = 2
"""Minimum number of unacknowledged probes before a missing acknowledgement counts.

The interval of zero-window probes grows, so one lost packet can cause a long silence.
"""


class Verdict(Enum):
    """Result of a keepalive check."""

    OK = "fine"
    PING = "ping"
    UNRESPONSIVE = "unresponsive"
    STALLED = "stalled"


class TransportState(Protocol):
    """State of the transport of a side, as far as keepalive depends on it."""

    @property
    def write_blocked(self) -> bool:
        """True if frames are buffered because the socket is full."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes in the send queue of the socket."""

    @property
    def pending(self) -> int:
        """Bytes in the receive queue of the socket."""

    @property
    def ack_state(self) -> tuple[int, float, int]:
        """Acknowledged bytes, seconds since the last acknowledgement, unacknowledged probes.

        The first number changes with each acknowledgement. The others are 0 if none is due.
        """


def check_interval(settings: RelaySettings) -> float | None:
    """Return the seconds between two checks, or None if both timeouts are off."""
    times = [settings.ping_interval, settings.stall_timeout]
    return min((time / CHECKS_PER_TIMEOUT for time in times if time), default=None)


@dataclass(slots=True, eq=False)
class KeepaliveState:
    """Keepalive state of a side between two checks.

    ``jitter``, from 0 to 1, spreads the pings of sides that connected at the same time.
    """

    jitter: float
    came_at: InitVar[float]
    checked_at: float = field(init=False)
    """Time of the last check; before the first check, time of the handshake."""
    silent_since: float = field(init=False)
    """Start of the current silence. Time in which the relay did not read is excluded."""
    answered_at: float = field(init=False)
    """Time of the last check at which no acknowledgement was missing."""
    tested_at: float = field(init=False)
    """Time of the last ping that was sent while reading was paused."""
    received: int = 0
    pinged_at: float | None = None
    pong_delayed_by_data: bool = False
    """True if data was unsent when the side was pinged, which delays its pong."""
    acked_bytes: int | None = None
    """Bytes acknowledged at the last check; None if no data was outstanding then."""
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
        """Check a side once; the caller must act on the verdict before the next check.

        Args:
            transport: State of the transport of the side.
            settings: Settings with the timeouts.
            now: Current time in seconds.
            received: Number that changes whenever bytes of the side are received.
            reading_paused: True if the relay does not read the side now.
            alone: True if the side waits for its peer.
        """
        before, self.checked_at = self.checked_at, now
        if received != self.received:
            self.received, self.silent_since, self.pinged_at = received, before, None
        blocked = transport.write_blocked
        if blocked or reading_paused:
            self.silent_since, self.pinged_at = now, None
            # The relay reads no pong now. But the kernel of a client that closed its socket answers
            # a ping with a reset. Without a peer, the reset destroys no data that anyone needs.
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
            # A busy relay may not have read the answer yet.
            late = now - self.pinged_at >= settings.ping_timeout and not transport.pending
            return Verdict.UNRESPONSIVE if late else Verdict.OK
        if 0 < self._ping_after(settings) <= now - self.silent_since:
            self.pinged_at, self.pong_delayed_by_data = now, transport.unsent_bytes > 0
            return Verdict.PING
        return Verdict.OK

    def _check_acknowledgements(
        self, transport: TransportState, settings: RelaySettings, now: float, *, waits: bool
    ) -> Verdict:
        """Check a side by its acknowledgements, because no pong can be expected in time."""
        taken, unanswered, vain = transport.ack_state
        if taken != self.acked_bytes or not waits:
            self.acked_bytes, self.acked_at = taken, now
        elif 0 < settings.stall_timeout <= now - self.acked_at:
            return Verdict.STALLED
        if vain < MIN_UNACKED_PROBES:
            self.answered_at = now
        patience = self._ping_after(settings)
        # The last acknowledgement may be old because nothing was sent for a while. So probes must
        # have been unacknowledged for some time too, and a short network outage ends no side.
        insists = now - self.answered_at >= settings.ping_timeout / 2
        if patience and insists and unanswered >= patience + settings.ping_timeout:
            return Verdict.UNRESPONSIVE
        return Verdict.OK

    def _ping_after(self, settings: RelaySettings) -> float:
        """Return the seconds of silence before a ping; 0 if pings are off."""
        return (
            settings.ping_interval
            * (EARLIEST + self.jitter * (LATEST - EARLIEST))
            / CHECKS_PER_TIMEOUT
        )
