"""Decide when to ping a silent side, and when to end an unresponsive or stalled one.

Pure: the state of the transport and the time are arguments. The sweeper checks every side at
intervals. Forwarding a message does no keepalive work and reads no clock.

Without backpressure, the relay pings a side that was silent for about ``ping_interval``. The side
is unresponsive if the relay receives no byte from it within ``ping_timeout``.

Under backpressure, a live side may be unable to answer in time. There are two cases. The relay does
not read the side, because its peer is slow, its early data is full or its rate is limited. Or data
is unsent, and the ping waits behind that data. Silence proves nothing then, so TCP acknowledgements
replace the pong: the kernel of a live client acknowledges retransmissions and window probes even if
the program does not read. The side is unresponsive if these stay unacknowledged. It is stalled if
it accepts none of its unsent data for ``stall_timeout``. On a platform that does not report
acknowledgements, only the stall timeout applies to such a side.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from enum import Enum
from typing import Final, Protocol

from ..settings import RelaySettings

CHECKS_PER_TIMEOUT: Final = 16
"""Checks per shortest timeout, so a side ends at most a sixteenth of it too late."""

# Bounds of the silence before a ping, in sixteenths of ping_interval. Two errors of up to one check
# interval each add to it: a check may be late, and bytes received since the last check count as
# received at that check.
EARLIEST: Final = 13
LATEST: Final = 14

MIN_UNACKED_PROBES: Final = 2
"""Minimum number of unacknowledged probes before a missing acknowledgement counts.

The interval of zero-window probes grows, so one lost packet can cause a long silence.
"""


class KeepaliveResult(Enum):
    """Result of a keepalive check."""

    OK = "ok"
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

        The first number changes with each acknowledgement. The other numbers are 0 if no
        acknowledgement is due.
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
    connected_at: InitVar[float]
    checked_at: float = field(init=False)
    """Time of the last check; before the first check, time of the handshake."""
    silent_since: float = field(init=False)
    """Start of the current silence. Time in which the relay did not read is excluded."""
    probes_acked_at: float = field(init=False)
    """Time of the last check with fewer than `MIN_UNACKED_PROBES` unacknowledged probes."""
    last_blind_ping: float = field(init=False)
    """Time of the last ping whose pong the relay did not read, because reading was paused."""
    received: int = 0
    pinged_at: float | None = None
    """Time of the ping that the side has not answered; None without such a ping."""
    pong_delayed_by_data: bool = False
    """True if data was unsent when the side was pinged, which delays its pong."""
    acked_bytes: int | None = None
    """Bytes acknowledged at the last check; None if no data was outstanding then."""
    acked_at: float = 0.0

    def __post_init__(self, connected_at: float) -> None:
        self.checked_at = self.silent_since = self.probes_acked_at = self.last_blind_ping = (
            connected_at
        )

    def check(  # noqa: PLR0913 - everything that the result depends on
        self,
        transport: TransportState,
        settings: RelaySettings,
        now: float,
        *,
        received: int,
        reading_paused: bool,
        alone: bool,
    ) -> KeepaliveResult:
        """Check a side once. The caller must act on the result before the next check.

        Args:
            transport: State of the transport of the side.
            settings: Settings with the timeouts.
            now: Current time in seconds.
            received: Number that changes whenever bytes of the side are received.
            reading_paused: True if the relay does not read the side now.
            alone: True if the side waits for its peer.
        """
        before, self.checked_at = self.checked_at, now
        ping_after = self._ping_after(settings)
        if received != self.received:
            self.received, self.silent_since, self.pinged_at = received, before, None
        blocked = transport.write_blocked
        if blocked or reading_paused:
            self.silent_since, self.pinged_at = now, None
            # The relay reads no pong now. But the kernel of a client that closed its socket answers
            # a ping with a reset. Without a peer, the reset destroys no data that anyone needs.
            if alone and not blocked and 0 < ping_after <= now - self.last_blind_ping:
                self.last_blind_ping = now
                return KeepaliveResult.PING
            return self._check_acknowledgements(transport, settings, now, has_unsent=blocked)
        if self.pinged_at is not None and self.pong_delayed_by_data:
            if transport.unsent_bytes:
                return self._check_acknowledgements(transport, settings, now, has_unsent=True)
            self.pong_delayed_by_data, self.pinged_at = False, before
        self.acked_bytes, self.probes_acked_at = None, now
        if self.pinged_at is not None:
            # Unread bytes may contain the pong: a busy relay has not read them yet.
            overdue = now - self.pinged_at >= settings.ping_timeout and not transport.pending
            return KeepaliveResult.UNRESPONSIVE if overdue else KeepaliveResult.OK
        if 0 < ping_after <= now - self.silent_since:
            self.pinged_at, self.pong_delayed_by_data = now, transport.unsent_bytes > 0
            return KeepaliveResult.PING
        return KeepaliveResult.OK

    def _check_acknowledgements(
        self, transport: TransportState, settings: RelaySettings, now: float, *, has_unsent: bool
    ) -> KeepaliveResult:
        """Check a side by its acknowledgements, because no pong can be expected in time.

        ``has_unsent`` is true if data for the side is unsent, so that the stall timeout applies.
        """
        acked_bytes, seconds_since_ack, unacked_probes = transport.ack_state
        if acked_bytes != self.acked_bytes or not has_unsent:
            self.acked_bytes, self.acked_at = acked_bytes, now
        elif 0 < settings.stall_timeout <= now - self.acked_at:
            return KeepaliveResult.STALLED
        if unacked_probes < MIN_UNACKED_PROBES:
            self.probes_acked_at = now
        ping_after = self._ping_after(settings)
        # The last acknowledgement may be old because nothing was sent for a while. So probes must
        # have been unacknowledged for some time too, and a short network outage ends no side.
        probes_overdue = now - self.probes_acked_at >= settings.ping_timeout / 2
        ack_overdue = seconds_since_ack >= ping_after + settings.ping_timeout
        if ping_after and probes_overdue and ack_overdue:
            return KeepaliveResult.UNRESPONSIVE
        return KeepaliveResult.OK

    def _ping_after(self, settings: RelaySettings) -> float:
        """Return the seconds of silence before a ping; 0 if pings are off."""
        return (
            settings.ping_interval
            * (EARLIEST + self.jitter * (LATEST - EARLIEST))
            / CHECKS_PER_TIMEOUT
        )
