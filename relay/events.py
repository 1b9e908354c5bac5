"""Events of a relay, the outcomes of its pairs, and the protocol of the observer.

Pure. Events are frozen records. Metrics and logs are observers, and the relay knows neither. No
record holds a pair code or a payload. Records hold client addresses, so that an observer can count
or log them, but ``repr`` omits them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, Protocol

from .protocol.errors import CloseCode
from .transport.tls_failure import TlsFailure


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
    """Cause of the end of a pair. It decides the close codes (RFC 6455 section 7.4.1) of its sides.

    ``label`` is its name in logs and metrics. ``close_for_cause`` is the close frame for the side
    that caused the end, and ``close_for_peer`` that for the other side. A side that sent a close
    frame gets its own code back, and a side that violated RFC 6455 gets the code for the violation.
    """

    CLOSED = "closed", PEER_LEFT, PEER_LEFT
    """A side sent a close frame."""
    ENDED = "ended", PEER_LEFT, PEER_LEFT
    """A side ended its stream without a close frame."""
    BROKEN = "broken", PEER_FAILED, PEER_FAILED
    """A connection was reset, or a side did not read its 101 response."""
    VIOLATED = "violated", PEER_FAILED, PEER_FAILED
    """A side violated RFC 6455 or exceeded a limit for messages."""
    UNRESPONSIVE = "unresponsive", Close(CloseCode.INTERNAL_ERROR, "keepalive timeout"), PEER_FAILED
    """A silent side did not answer a keepalive ping within ``ping_timeout``."""
    STALLED = "stalled", Close(CloseCode.INTERNAL_ERROR, "stall timeout"), PEER_FAILED
    """A side accepted none of the data that waited for it within ``stall_timeout``."""
    EVICTED = "evicted", Close(CloseCode.INTERNAL_ERROR, "takeover timeout"), PEER_FAILED
    """A side did not answer a takeover check within ``takeover_timeout``."""
    EXPIRED = "expired", PAIR_EXPIRED, PAIR_EXPIRED
    """A side waited for its peer for longer than ``pair_ttl``."""
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


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request was refused.

    Args:
        status: HTTP status of the response.
        reason: Body of the response, one line of fixed text.
        client: Address of the client; that of its proxy if the request head was invalid; "" if
            unknown.
        pair: Hash of the code, as in `SideWaiting`; "" if the request has no valid code.
        detail: Addition to the reason that the client does not get; "" if there is none. With 401
            it is ``no token`` or ``wrong token``.
    """

    status: int
    reason: str
    client: str = field(default="", repr=False)
    pair: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SideWaiting:
    """Side A was admitted and waits for side B.

    Args:
        pair: Hash of the code. Its key is random and valid until the relay ends.
        client: Address of the client; "" if unknown.
    """

    pair: str
    client: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PairJoined:
    """Side B joined side A.

    Args:
        pair: Hash of the code, as in `SideWaiting`.
        wait_time: Seconds that side A waited for side B.
        client: Address of side B; "" if unknown.
    """

    pair: str
    wait_time: float
    client: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PairEnded:
    """A pair ended, joined or waiting.

    The first item of each tuple belongs to side A, the second to side B.

    Args:
        pair: Hash of the code, as in `SideWaiting`.
        outcome: Cause of the end.
        joined: True if side B had joined.
        wait_time: Seconds that side A waited, until side B joined or the pair ended.
        duration: Seconds from the joining to the end; 0 if side B never joined.
        bytes: Bytes of frames from this side that were forwarded to its peer.
        messages: Binary messages from this side that were forwarded.
        text_messages_dropped: Text messages from this side that were dropped.
        blocked_time: Seconds for which data from this side waited for its peer to accept it.
        clients: Addresses of the clients; "" if unknown.
    """

    pair: str
    outcome: Outcome
    joined: bool
    wait_time: float
    duration: float
    bytes: tuple[int, int] = (0, 0)
    messages: tuple[int, int] = (0, 0)
    text_messages_dropped: tuple[int, int] = (0, 0)
    blocked_time: tuple[float, float] = (0.0, 0.0)
    clients: tuple[str, str] = field(default=("", ""), repr=False)


@dataclass(frozen=True, slots=True)
class TextDropped:
    """A side sent the first text message of its pair, which the relay dropped.

    The relay notices the message within a second, and before `PairEnded`.

    Args:
        pair: Hash of the code, as in `SideWaiting`.
        side: Side that sent the message: ``a`` or ``b``.
    """

    pair: str
    side: str


@dataclass(frozen=True, slots=True)
class TakeoverChecked:
    """A takeover check ended: the relay pinged the sides of a code that a new client asked for.

    Args:
        pair: Hash of the code, as in `SideWaiting`.
        answered: True if every side answered. If False, the pair is evicted.
    """

    pair: str
    answered: bool


@dataclass(frozen=True, slots=True)
class RelayStopping:
    """The relay began to stop.

    Args:
        pairs: Codes in use, waiting or joined.
        waiting: Codes with a waiting side.
    """

    pairs: int
    waiting: int


@dataclass(frozen=True, slots=True)
class TlsHandshakeFailed:
    """A connection ended before its TLS handshake was complete.

    Args:
        kind: Cause of the failure.
        detail: Reason given by OpenSSL, such as ``tlsv1 alert unknown ca``; "" if there is none.
        client: Remote address of the connection; "" if unknown.
    """

    kind: TlsFailure
    detail: str = ""
    client: str = field(default="", repr=False)


Event = (
    RequestRefused
    | SideWaiting
    | PairJoined
    | TextDropped
    | PairEnded
    | TakeoverChecked
    | RelayStopping
    | TlsHandshakeFailed
)


class Observer(Protocol):
    """Receiver of the events of a relay."""

    def on_event(self, event: Event) -> None:
        """Receive an event.

        The relay calls this method in its own thread, one event at a time. The method must not
        block: the event loop would wait for it. It is not async, so it cannot be cancelled.

        Args:
            event: The event, a frozen record.

        Raises:
            Exception: The relay logs the type of the exception and goes on.
        """
