"""How a pair can end, and what its sides are told then.

Pure. One row for each way: it is what `relay.events.PairEnded` reports, and it decides the close
codes (RFC 6455 section 7.4.1) of both sides.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from .protocol.errors import CloseCode

__all__ = ["Close", "Outcome"]


class Close(NamedTuple):
    """What a close frame of the relay says."""

    code: CloseCode
    reason: str


PEER_LEFT: Final = Close(CloseCode.NORMAL, "peer disconnected")
PEER_FAILED: Final = Close(CloseCode.INTERNAL_ERROR, "peer disconnected")


class Outcome(Enum):
    """How a pair ended: its name, what its cause is told, and what the other side is told.

    A side that left by itself, or broke a rule, is told what that calls for instead.
    """

    CLOSED = "closed", PEER_LEFT, PEER_LEFT
    """A side sent a close frame."""
    ENDED = "ended", PEER_LEFT, PEER_LEFT
    """A side ended its stream without one."""
    BROKEN = "broken", PEER_FAILED, PEER_FAILED
    """A side's connection was reset, or it did not take the relay's answer."""
    VIOLATED = "violated", PEER_FAILED, PEER_FAILED
    """A side broke a rule of RFC 6455, or a limit for messages."""
    UNRESPONSIVE = "unresponsive", Close(CloseCode.INTERNAL_ERROR, "keepalive timeout"), PEER_FAILED
    """A side from which nothing was heard did not answer a ping."""
    STALLED = "stalled", Close(CloseCode.INTERNAL_ERROR, "stall timeout"), PEER_FAILED
    """A side took nothing though data waited for it."""
    EVICTED = "evicted", Close(CloseCode.INTERNAL_ERROR, "takeover timeout"), PEER_FAILED
    """A side did not answer the ping that a newcomer with its code gave rise to."""
    EXPIRED = "expired", *(2 * (Close(CloseCode.GOING_AWAY, "pair expired"),))
    """A side waited too long for its peer."""
    OVER_TIME = "over_time", *(2 * (Close(CloseCode.POLICY_VIOLATION, "pair lasted too long"),))
    """The pair reached ``max_pair_seconds``."""
    OVER_BYTES = "over_bytes", *(2 * (Close(CloseCode.POLICY_VIOLATION, "pair sent too much"),))
    """The pair reached ``max_pair_bytes``."""
    STOPPED = "stopped", *(2 * (Close(CloseCode.GOING_AWAY, "relay stopping"),))
    """The relay stopped."""

    def __init__(self, label: str, close_for_cause: Close, close_for_peer: Close) -> None:
        self.label = label
        self.close_for_cause = close_for_cause
        self.close_for_peer = close_for_peer
