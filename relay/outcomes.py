"""Outcomes of pairs: the causes that can end a pair, each with the close frames for both sides."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from .protocol.violations import CloseCode


class Close(NamedTuple):
    """Status code and reason of a close frame."""

    code: CloseCode
    reason: str


PEER_LEFT: Final = Close(CloseCode.NORMAL_CLOSURE, "peer disconnected")
PEER_FAILED: Final = Close(CloseCode.INTERNAL_ERROR, "peer disconnected")
PAIR_EXPIRED: Final = Close(CloseCode.GOING_AWAY, "pair expired")
LASTED_TOO_LONG: Final = Close(CloseCode.POLICY_VIOLATION, "pair lasted too long")
SENT_TOO_MUCH: Final = Close(CloseCode.POLICY_VIOLATION, "pair sent too much")
RELAY_STOPPING: Final = Close(CloseCode.GOING_AWAY, "relay stopping")


class Outcome(Enum):
    """Cause of the end of a pair, with the close code for each side (RFC 6455 section 7.4.1).

    ``label`` names the outcome in logs and metrics. The side that caused the end gets
    ``close_for_cause``, and its peer gets ``close_for_peer``. If neither side caused the end, both
    get ``close_for_peer``. There are two exceptions: a side that sent a close frame gets the code
    of that frame, and a side that violated RFC 6455 or a limit gets the code for the violation.
    """

    CLOSED = "closed", PEER_LEFT, PEER_LEFT
    """A side sent a close frame."""
    ENDED = "ended", PEER_LEFT, PEER_LEFT
    """A side ended its stream without a close frame."""
    BROKEN = "broken", PEER_FAILED, PEER_FAILED
    """The connection of a side failed, or a side did not read its 101 response in time."""
    VIOLATED = "violated", PEER_FAILED, PEER_FAILED
    """A side violated RFC 6455, or sent a message that exceeds a limit."""
    UNRESPONSIVE = "unresponsive", Close(CloseCode.INTERNAL_ERROR, "keepalive timeout"), PEER_FAILED
    """A silent side did not answer a keepalive ping within ``ping_timeout``."""
    STALLED = "stalled", Close(CloseCode.INTERNAL_ERROR, "stall timeout"), PEER_FAILED
    """A side accepted none of its pending data for ``stall_timeout``."""
    EVICTED = "evicted", Close(CloseCode.INTERNAL_ERROR, "takeover timeout"), PEER_FAILED
    """A side did not answer a takeover check within ``takeover_timeout``."""
    EXPIRED = "expired", PAIR_EXPIRED, PAIR_EXPIRED
    """Side A waited for side B for longer than ``pair_ttl``."""
    OVER_TIME = "over_time", LASTED_TOO_LONG, LASTED_TOO_LONG
    """The pair reached ``max_pair_seconds``."""
    OVER_BYTES = "over_bytes", SENT_TOO_MUCH, SENT_TOO_MUCH
    """The pair reached ``max_pair_bytes``."""
    STOPPED = "stopped", RELAY_STOPPING, RELAY_STOPPING
    """The relay stopped."""

    def __init__(self, label: str, close_for_cause: Close, close_for_peer: Close) -> None:
        self.label = label
        self.close_for_cause = close_for_cause
        self.close_for_peer = close_for_peer
