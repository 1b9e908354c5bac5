"""What a relay tells whoever observes it: frozen records, and the Protocol that takes them.

Pure. Metrics and logs are observers; the relay knows neither. No record holds a pair code or a
payload. Client addresses are in the records, so that an observer may count or show them, but not in
their representation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from .outcome import Outcome
from .transport.tls_failure import TlsFailure

__all__ = [
    "Event",
    "Observer",
    "PairEnded",
    "PairJoined",
    "RelayStopping",
    "RequestRefused",
    "TakeoverChecked",
    "TlsHandshakeFailed",
]


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request was answered with an error: its status and the line of its body."""

    status: int
    reason: str
    client: str = field(default="", repr=False)
    """The client's address, or that of its proxy where its head was no good; "" if not known."""


@dataclass(frozen=True, slots=True)
class PairJoined:
    """Side B came to side A."""

    pair: str
    """A short hash of the code, under a key that this relay chose at its start and keeps."""
    wait_time: float
    """Seconds that side A waited."""


@dataclass(frozen=True, slots=True)
class PairEnded:
    """A pair is over, joined or not.

    Bytes are those of frames as they went to the peer, messages are binary ones; of each two
    numbers the first is about what side A sent, the second about side B.
    """

    pair: str
    """The same hash as in `PairJoined`."""
    outcome: Outcome
    joined: bool
    wait_time: float
    """Seconds that side A waited, for B or for the end."""
    duration: float
    """Seconds from B's coming to the end; 0 if B never came."""
    bytes: tuple[int, int] = (0, 0)
    messages: tuple[int, int] = (0, 0)
    text_messages_dropped: tuple[int, int] = (0, 0)
    """Text messages that were dropped."""
    blocked_time: tuple[float, float] = (0.0, 0.0)
    """Seconds for which the side's data waited for its peer to take it."""
    clients: tuple[str, str] = field(default=("", ""), repr=False)
    """Addresses of side A and side B, "" where not known."""


@dataclass(frozen=True, slots=True)
class TakeoverChecked:
    """A newcomer had the relay ping the sides of its code; ``answered`` is whether all did."""

    pair: str
    answered: bool


@dataclass(frozen=True, slots=True)
class RelayStopping:
    """The relay began to stop, with so many codes in use and so many of them waiting."""

    pairs: int
    waiting: int


@dataclass(frozen=True, slots=True)
class TlsHandshakeFailed:
    """A connection ended before its TLS handshake was complete."""

    kind: TlsFailure
    detail: str = ""
    """The reason that OpenSSL gave, such as ``tlsv1 alert unknown ca``; "" if there is none."""
    client: str = field(default="", repr=False)
    """The address that the connection came from; "" if not known."""


Event = (
    RequestRefused | PairJoined | PairEnded | TakeoverChecked | RelayStopping | TlsHandshakeFailed
)


class Observer(Protocol):
    """Takes the events of a relay, in the relay's own thread, one at a time.

    It must not wait. What it raises is logged and has no other effect.
    """

    def on_event(self, event: Event) -> None:
        """Take note of an event."""
