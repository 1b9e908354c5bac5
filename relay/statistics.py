"""What a relay counts, for its handle and for metrics.

Pure. Pairs count in plain integers of their own; they are added up when somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from .events import Event, PairEnded, RequestRefused, TakeoverChecked, TlsHandshakeFailed
from .outcome import Outcome

__all__ = ["Counters", "OpenPair", "RelayStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatistics:
    """A snapshot of a relay: what is there now, and what has been since its start."""

    pairs: int = 0
    """Codes present, waiting or joined."""
    waiting: int = 0
    """Codes with one side, which waits for the other."""
    connections: int = 0
    """Connections open, those still at the door or closing among them."""
    draining: bool = False
    """Whether the relay is stopping, and takes no new side."""
    connections_accepted: int = 0
    """Connections accepted since the start."""
    requests_refused: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """How often each error was answered: by status and reason."""
    pairs_ended: Mapping[Outcome, int] = field(default_factory=dict)
    """How many pairs ended in each way, those that were never joined among them."""
    bytes: tuple[int, int] = (0, 0)
    """Bytes of frames passed on, of side A and of side B, open pairs among them."""
    messages: tuple[int, int] = (0, 0)
    """Binary messages passed on, of side A and of side B."""
    text_messages_dropped: tuple[int, int] = (0, 0)
    """Text messages dropped, of side A and of side B."""
    takeover_checks: int = 0
    """How often sides were pinged because of a newcomer."""
    evictions: int = 0
    """How many of those times a side did not answer."""
    tls_handshakes_failed: Mapping[str, int] = field(default_factory=dict)
    """Failed TLS handshakes by their kind, a value of `TlsFailure`."""


@dataclass(frozen=True, slots=True)
class OpenPair:
    """A pair that is open now, joined or waiting; of each two values the first is about side A."""

    pair: str
    """The same hash of the code as in the events of the pair."""
    joined: bool
    """True once side B has joined."""
    age: float
    """Seconds since side A came."""
    bytes: tuple[int, int] = (0, 0)
    """Bytes of frames passed on."""
    clients: tuple[str, str] = field(default=("", ""), repr=False)
    """Addresses of the clients, "" where not known."""


@dataclass(slots=True, eq=False)
class Counters:
    """What has been since the start; an observer of its relay."""

    connections_accepted: int = 0
    requests_refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    pairs_ended: Counter[Outcome] = field(default_factory=Counter)
    bytes: tuple[int, int] = (0, 0)
    messages: tuple[int, int] = (0, 0)
    text_messages_dropped: tuple[int, int] = (0, 0)
    takeover_checks: int = 0
    evictions: int = 0
    tls_handshakes_failed: Counter[str] = field(default_factory=Counter)

    def on_event(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, PairEnded):
            self.pairs_ended[event.outcome] += 1
            self.bytes = plus(self.bytes, event.bytes)
            self.messages = plus(self.messages, event.messages)
            self.text_messages_dropped = plus(
                self.text_messages_dropped, event.text_messages_dropped
            )
        elif isinstance(event, RequestRefused):
            self.requests_refused[event.status, event.reason] += 1
        elif isinstance(event, TakeoverChecked):
            self.takeover_checks += 1
            self.evictions += not event.answered
        elif isinstance(event, TlsHandshakeFailed):
            self.tls_handshakes_failed[event.kind.value] += 1


def plus(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Return the sums of what is about the same side."""
    return one[0] + other[0], one[1] + other[1]
