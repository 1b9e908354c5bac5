"""Statistics of a relay, for its handle and for metrics.

Pure. Events update the counters of a relay. The reframer of each side counts messages, and
`traffic_of` reads these counts. A snapshot is the sum of the counters and
the traffic of the open pairs, and changes neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import Any, NamedTuple

from ..events import Event, PairEnded, RequestRefused, TakeoverChecked, TlsHandshakeFailed
from ..outcomes import Outcome
from ..pairing.pair import Pair
from ..protocol.frames import BINARY, TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatistics:
    """Snapshot of the state of a relay, and its counters since the start.

    The first item of each tuple belongs to side A, the second to side B. The counters of bytes and
    messages include the pairs that are still open.
    """

    pairs: int = 0
    """Number of codes in use, with a waiting side or a joined pair."""
    waiting: int = 0
    """Number of codes with a waiting side."""
    connections: int = 0
    """Number of open connections, including connections in a handshake or closing handshake."""
    admitted: int = 0
    """Number of open connections that hold a slot of ``max_connections``."""
    draining: bool = False
    """True once the relay has begun to stop."""
    connections_accepted: int = 0
    """Number of connections accepted since the start."""
    accepts_failed: int = 0
    """Number of failed accepts. An accept fails for lack of descriptors or memory, or because the
    new connection has already failed."""
    requests_refused: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """Number of refused requests for each status and reason."""
    pairs_ended: Mapping[Outcome, int] = field(default_factory=dict)
    """Number of joined pairs that ended, for each outcome."""
    waiting_ended: Mapping[Outcome, int] = field(default_factory=dict)
    """Number of waiting sides that ended before a peer joined, for each outcome."""
    bytes: tuple[int, int] = (0, 0)
    """Number of bytes of the frames forwarded from each side."""
    messages: tuple[int, int] = (0, 0)
    """Number of binary messages forwarded from each side."""
    text_messages_dropped: tuple[int, int] = (0, 0)
    """Number of text messages from each side that were dropped."""
    takeover_checks: int = 0
    """Number of times the relay pinged sides because a client arrived with their code."""
    evictions: int = 0
    """Number of pairs evicted because a side did not answer a takeover check."""
    tls_handshakes_failed: Mapping[str, int] = field(default_factory=dict)
    """Number of failed TLS handshakes for each value of `TlsFailure`."""


@dataclass(frozen=True, slots=True)
class OpenPair:
    """Snapshot of an open pair, joined or waiting.

    The first item of each tuple belongs to side A, the second to side B.
    """

    pair: str
    """Short hash of the code, the same as in the events of the pair."""
    joined: bool
    """True once side B has joined."""
    age: float
    """Seconds since the handshake of side A."""
    bytes: tuple[int, int] = (0, 0)
    """Bytes of frames forwarded from each side."""
    clients: tuple[str, str] = field(default=("", ""), repr=False)
    """Addresses of the clients; "" if unknown."""


class Traffic(NamedTuple):
    """Traffic of one pair, or the sum for many pairs.

    The first item of each tuple belongs to side A, the second to side B.
    """

    bytes: tuple[int, int] = (0, 0)
    messages: tuple[int, int] = (0, 0)
    text_messages_dropped: tuple[int, int] = (0, 0)

    def plus(self, other: Traffic) -> Traffic:
        """Return the sum of this traffic and ``other``, separately for each counter and side."""
        pairs = zip(self, other, strict=True)
        return Traffic(*((one[0] + two[0], one[1] + two[1]) for one, two in pairs))


def traffic_of(pair: Pair) -> Traffic:
    """Return the traffic of a pair. Early data is counted once side B has joined."""
    a, b = pair.a, pair.b
    if b is None:
        return Traffic(text_messages_dropped=(a.reframer.message_counts[TEXT], 0))
    counts = a.reframer.message_counts, b.reframer.message_counts
    return Traffic(
        bytes=(a.passed_on, b.passed_on),
        messages=(counts[0][BINARY], counts[1][BINARY]),
        text_messages_dropped=(counts[0][TEXT], counts[1][TEXT]),
    )


@dataclass(slots=True, eq=False)
class Counters:
    """Counters of a relay since its start. Events update all but ``connections_accepted``."""

    connections_accepted: int = 0
    requests_refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    pairs_ended: Counter[Outcome] = field(default_factory=Counter)
    waiting_ended: Counter[Outcome] = field(default_factory=Counter)
    traffic: Traffic = field(default_factory=Traffic)
    """Traffic of ended pairs."""
    takeover_checks: int = 0
    evictions: int = 0
    tls_handshakes_failed: Counter[str] = field(default_factory=Counter)

    def on_event(self, event: Event) -> None:
        """Update the counters for an event."""
        match event:
            case PairEnded():
                ended_by = self.pairs_ended if event.joined else self.waiting_ended
                ended_by[event.outcome] += 1
                ended = Traffic(event.bytes, event.messages, event.text_messages_dropped)
                self.traffic = self.traffic.plus(ended)
            case RequestRefused():
                self.requests_refused[event.status, event.reason] += 1
            case TakeoverChecked():
                self.takeover_checks += 1
                self.evictions += not event.answered
            case TlsHandshakeFailed():
                self.tls_handshakes_failed[event.kind.value] += 1
            case _:
                pass  # no counter

    def snapshot(self, live_pairs: Iterable[Pair]) -> dict[str, Any]:
        """Return a copy of the counters, as keyword arguments for `RelayStatistics`.

        The copy includes the traffic of ``live_pairs``, the pairs that are still open.
        """
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        traffic = reduce(Traffic.plus, map(traffic_of, live_pairs), found.pop("traffic"))
        copies = {name: dict(n) if isinstance(n, dict) else n for name, n in found.items()}
        return {**copies, **traffic._asdict()}
