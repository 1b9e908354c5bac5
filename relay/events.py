"""Events of a relay, and the protocol of the observer.

Pure. Events are frozen records. Metrics and logs are observers, and the relay knows neither. No
record holds a pair code or a payload. Records hold client addresses, so that an observer can count
or log them, but ``repr`` omits them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from .outcomes import Outcome
from .transport.tls_failure import TlsFailure


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
class ProxyNotTrusted:
    """A proxy that is not in ``trusted_proxies`` forwarded an upgrade request.

    The relay ignores X-Forwarded-For of this proxy, so all of its clients count as one. A client
    that sends the header itself looks the same. Only the first such request causes this event.

    Args:
        peer: Address of the proxy; ``unix`` for a Unix socket; "" if unknown.
    """

    peer: str = field(default="", repr=False)


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
    | ProxyNotTrusted
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
