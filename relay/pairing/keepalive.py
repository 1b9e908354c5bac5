"""Decide when to ping a silent side, and when to end an unresponsive side.

Pure: the state of the transport and the time are arguments. The sweeper checks every side at
intervals. Forwarding a message does no keepalive work and reads no clock.

Without backpressure, the relay pings a side that was silent for about ``ping_interval``. The side
is unresponsive if the relay receives no byte from it within ``ping_timeout`` after the ping.

Under backpressure, a live side may be unable to answer in time. One reason is that the relay is not
reading from the side, because the peer is slow, the early data is full or the rate limit applies.
The other reason is that the ping waits behind unsent data. Silence then proves nothing, so the
relay uses TCP acknowledgements instead of the pong. The kernel of a live client acknowledges
retransmissions and window probes even if the client's program does not read. The side is
unresponsive if retransmissions and probes stay unacknowledged. On a platform that does not report
acknowledgements, only the stall timeout (stall.py) applies under backpressure.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from enum import Enum
from typing import Final, Protocol

from ..settings import RelaySettings

CHECKS_PER_TIMEOUT: Final = 16
"""Number of checks during the shorter of ``ping_interval`` and ``stall_timeout``.

A side is ended late by at most one check interval, which is a sixteenth of the shorter setting.
"""

# Minimum and maximum silence before a ping, in sixteenths of ping_interval. The true silence may be
# one check interval longer, because a ping waits for the next check. It may be one check interval
# shorter, because bytes count as received at the check before they arrived.
EARLIEST: Final = 13
LATEST: Final = 14

MIN_UNACKED_PROBES: Final = 2
"""Minimum number of unacknowledged probes for a side to count as unresponsive.

One probe is not enough. The kernel waits longer before each further window probe, so one lost
packet can cause a long silence.
"""


class KeepaliveResult(Enum):
    """Result of a keepalive check."""

    OK = "ok"
    PING = "ping"
    UNRESPONSIVE = "unresponsive"


class TransportState(Protocol):
    """The part of the interface of a transport that keepalive uses."""

    @property
    def write_blocked(self) -> bool:
        """True if frames are buffered because the socket is full."""

    @property
    def unsent_bytes(self) -> int:
        """Number of bytes in the send queue of the socket."""

    @property
    def pending(self) -> int:
        """Number of bytes in the receive queue of the socket."""

    @property
    def ack_state(self) -> tuple[int, float, int]:
        """Acknowledged bytes, seconds since the last acknowledgement, and unacknowledged probes.

        The first number changes with each acknowledgement. The other numbers are 0 if no
        acknowledgement is due.
        """


def check_interval(settings: RelaySettings) -> float | None:
    """Return the seconds between two checks; None if both pings and the stall timeout are off."""
    times = [settings.ping_interval, settings.stall_timeout]
    return min((time / CHECKS_PER_TIMEOUT for time in times if time), default=None)


@dataclass(slots=True, eq=False)
class KeepaliveState:
    """Keepalive state of a side between two checks.

    ``jitter`` is a random number from 0 to 1. Because of it, sides that connected at the same
    time are pinged at different times.
    """

    jitter: float
    connected_at: InitVar[float]
    checked_at: float = field(init=False)
    """Time of the last check; before the first check, the time of the handshake."""
    silent_since: float = field(init=False)
    """Start of the silence, but not before the last check with reading paused or writes blocked."""
    probes_acked_at: float = field(init=False)
    """Time of the last check with fewer than `MIN_UNACKED_PROBES` unacknowledged probes."""
    last_blind_ping: float = field(init=False)
    """Time of the last ping that was sent while the relay was not reading from the side."""
    received: int = 0
    pinged_at: float | None = None
    """Time of the last ping; None if the side has answered it, or has not been pinged."""
    pong_delayed_by_data: bool = False
    """True if the last ping waits behind unsent data, which delays its pong."""
    acked_bytes: int | None = None
    """Number of acknowledged bytes at the last check; None if no data was unsent at that check."""
    progress_at: float = field(init=False)
    """Time of the last check that found progress: the side accepted data, or no data was unsent."""

    def __post_init__(self, connected_at: float) -> None:
        self.checked_at = self.silent_since = self.probes_acked_at = connected_at
        self.last_blind_ping = self.progress_at = connected_at

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
            transport: State of the side's transport.
            settings: Settings with the timeouts.
            now: Current time in seconds.
            received: Number that changes whenever the relay receives bytes from the side.
            reading_paused: True if the relay is not reading from the side now.
            alone: True if the side waits for its peer.
        """
        before, self.checked_at = self.checked_at, now
        ping_after = self._ping_after(settings)
        if received != self.received:
            self.received, self.silent_since, self.pinged_at = received, before, None
        blocked = transport.write_blocked
        if blocked or reading_paused:
            self.silent_since, self.pinged_at = now, None
            # The relay would not read the pong now. But if the client has closed its socket, its
            # kernel answers the ping with a reset, which ends the wait. The reset destroys unread
            # data, but without a peer, nobody needs the data.
            if alone and not blocked and 0 < ping_after <= now - self.last_blind_ping:
                self.last_blind_ping = now
                return KeepaliveResult.PING
            return self._check_acknowledgements(transport, settings, now, has_unsent=blocked)
        if self.pinged_at is not None and self.pong_delayed_by_data:
            if transport.unsent_bytes:
                return self._check_acknowledgements(transport, settings, now, has_unsent=True)
            self.pong_delayed_by_data, self.pinged_at = False, before
        self.acked_bytes, self.progress_at, self.probes_acked_at = None, now, now
        if self.pinged_at is not None:
            # If the relay is busy, the pong may be among the bytes that it has not read yet.
            overdue = now - self.pinged_at >= settings.ping_timeout and not transport.pending
            return KeepaliveResult.UNRESPONSIVE if overdue else KeepaliveResult.OK
        if 0 < ping_after <= now - self.silent_since:
            self.pinged_at, self.pong_delayed_by_data = now, transport.unsent_bytes > 0
            return KeepaliveResult.PING
        return KeepaliveResult.OK

    def _check_acknowledgements(
        self, transport: TransportState, settings: RelaySettings, now: float, *, has_unsent: bool
    ) -> KeepaliveResult:
        """Check a side by TCP acknowledgements, because no pong can be expected in time.

        Either the relay is not reading from the side, or the ping waits behind unsent data.
        ``has_unsent`` is True if data for the side is unsent. Only then can the side be stalled.
        """
        acked_bytes, seconds_since_ack, unacked_probes = transport.ack_state
        if acked_bytes != self.acked_bytes or not has_unsent:
            self.acked_bytes, self.progress_at = acked_bytes, now
        if unacked_probes < MIN_UNACKED_PROBES:
            self.probes_acked_at = now
        ping_after = self._ping_after(settings)
        # The last acknowledgement may be old because nothing was sent for a while. So the probes
        # must also have been unacknowledged for some time, so that a short network outage ends no
        # side.
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
