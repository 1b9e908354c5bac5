"""Events that a relay reports, and the interface of an observer that receives them.

Pure. Each event is a frozen record. The metrics and the log are observers, and the relay itself
imports neither. No record contains a pair code or a payload. Some records contain client addresses,
so that an observer can count or log clients, but the ``repr`` of a record omits the addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from .outcomes import Outcome
from .transport.tls_failure import TlsFailure


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """The relay refused a request.

    Args:
        status: HTTP status of the response.
        reason: Body of the response, one line of fixed text.
        client: Address of the client, or of its proxy if the request head was invalid; "" if
            unknown.
        pair: Hash of the pair code (see `SideWaiting`); "" if the request has no valid code.
        detail: More precise reason, which the client does not get; "" if there is none. With status
            401, it is ``no token`` or ``wrong token``.
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
        pair: Keyed hash of the pair code. The relay chooses a random key when it starts, and uses
            this key for all codes. So the hash of a code changes with each start.
        client: Address of the client; "" if unknown.
    """

    pair: str
    client: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PairJoined:
    """Side B joined side A.

    Args:
        pair: Hash of the pair code (see `SideWaiting`).
        wait_time: Seconds that side A waited for side B.
        client: Client address of side B; "" if unknown.
    """

    pair: str
    wait_time: float
    client: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PairEnded:
    """A joined or waiting pair ended.

    The first item of each tuple belongs to side A, the second to side B.

    Args:
        pair: Hash of the pair code (see `SideWaiting`).
        outcome: Cause of the end of the pair.
        joined: True if side B had joined.
        wait_time: Seconds that side A waited, until side B joined or the pair ended.
        duration: Seconds that the pair was joined; 0 if side B never joined.
        bytes: Bytes that the relay forwarded from each side to its peer, including frame headers.
        messages: Number of binary messages that the relay forwarded from each side to its peer.
        text_messages_dropped: Number of text messages from each side that the relay dropped.
        blocked_time: Seconds for which data from each side waited for a slow peer.
        clients: Client address of each side; "" if unknown.
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
    """The relay dropped text messages of a pair.

    The relay reports this event once per pair, within about a second of the first dropped message
    and before `PairEnded`.

    Args:
        pair: Hash of the pair code (see `SideWaiting`).
        side: Side that sent the messages: ``a`` or ``b``; ``a`` if both sides did.
    """

    pair: str
    side: str


@dataclass(frozen=True, slots=True)
class TakeoverChecked:
    """A takeover check ended.

    When a client arrives with a code that is in use, the relay pings the sides of the pair, to find
    out whether they are still alive.

    Args:
        pair: Hash of the pair code (see `SideWaiting`).
        answered: True if every pinged side answered. Otherwise, the relay evicts the pair.
    """

    pair: str
    answered: bool


@dataclass(frozen=True, slots=True)
class ProxyNotTrusted:
    """A proxy that is not in ``trusted_proxies`` forwarded an upgrade request.

    The relay ignores the header X-Forwarded-For of this proxy, so all clients behind the proxy
    count as one client. A client that sends the header itself also causes this event, because the
    relay cannot distinguish this client from a proxy. The relay reports the event only once.

    Args:
        peer: Address of the proxy; ``unix`` for a Unix socket; "" if unknown.
    """

    peer: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RelayStopping:
    """The relay started its shutdown.

    Args:
        pairs: Number of pairs, both waiting and joined.
        waiting: Number of waiting pairs.
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
    """Interface of an object that receives the events of a relay."""

    def on_event(self, event: Event) -> None:
        """Receive an event.

        The relay calls this method in the thread of its event loop, with one event at a time. The
        method must not block, because the event loop would block too. The method is not async, so
        it cannot be cancelled.

        Args:
            event: The event, a frozen record.

        Raises:
            Exception: The relay catches any exception, logs its type and continues.
        """
