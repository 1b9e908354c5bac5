"""Workloads by name, with their sizes and their purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from . import exchanges, memory, streams, under_load
from .children import Pairing, Running
from .figures import Metric
from .load import Effort

COMPARED = 2
"""Number of metrics of a workload that the report compares."""

_MIB = 1 << 20
_EVERY = frozenset(Pairing)
_HANDSHAKES = frozenset({Pairing.QUERY, Pairing.LINE})
_WEBSOCKETS = frozenset({Pairing.QUERY})

_BUSY = (Metric("busy", "%"), Metric("load busy", "%"))
_MB = Metric("rate", "MB/s", "more")
_MESSAGES = Metric("messages", "msg/s", "more")
_MESSAGE_RATE = Metric("rate", "msg/s", "more")
_CPU_MESSAGE = Metric("CPU/message", "µs")
_CPU_BYTE = Metric("CPU/byte", "ns")
_P50, _P99, _P999 = (Metric(name, "µs") for name in ("p50", "p99", "p99.9"))
_PER_PAIR = Metric("memory", "KiB/pair")


@dataclass(frozen=True)
class Workload:
    """One kind of load, at one point of its scale, or along a curve of several.

    `points` are bytes in a message or concurrent pairs, as `scale` says. The first `COMPARED`
    metrics are drawn and compared with the reference, the others only shown. Peers of another
    pairing than `pairings` are left out.
    """

    name: str
    title: str
    run: Callable[[Running, Effort, int], dict[str, float]]
    points: tuple[int, ...]
    metrics: tuple[Metric, ...]
    pairings: frozenset[Pairing] = _EVERY
    scale: str = "bytes in a message"
    slow: bool = False
    tls: bool = False

    def over_tls(self) -> Workload:
        """Return the same load over wss:// in place of ws://."""
        return replace(self, name=f"{self.name}-tls", title=f"{self.title}, TLS", tls=True)

    @property
    def is_curve(self) -> bool:
        """True if the workload shows the growth of a cost, not its amount."""
        return len(self.points) > 1


_PAIRS = "pairs at once"

WORKLOADS = (
    Workload("bulk", "64 KiB messages", streams.stream, (65536,), (_MB, _CPU_BYTE, *_BUSY)),
    Workload("huge", "16 MiB messages", streams.stream, (16 * _MIB,), (_MB, _CPU_BYTE, *_BUSY)),
    Workload(
        "small",
        "100 B messages, streamed",
        streams.stream,
        (100,),
        (_MESSAGES, _CPU_MESSAGE, *_BUSY),
    ),
    Workload(
        "both",
        "64 KiB messages, both ways at once",
        streams.stream_both_ways,
        (65536,),
        (_MB, _CPU_BYTE, *_BUSY),
    ),
    Workload(
        "pingpong",
        "round trip of 100 B, one pair",
        exchanges.pingpong,
        (1,),
        (_P50, _CPU_MESSAGE, _P99, _P999, *_BUSY),
        scale=_PAIRS,
    ),
    Workload(
        "pingpong100",
        "100 pairs in ping-pong at once",
        exchanges.pingpong,
        (100,),
        (_MESSAGE_RATE, _CPU_MESSAGE, _P50, _P99, _P999, *_BUSY),
        scale=_PAIRS,
    ),
    Workload(
        "pingpong1000",
        "1,000 pairs in ping-pong at once",
        exchanges.pingpong,
        (1000,),
        (_MESSAGE_RATE, _CPU_MESSAGE, _P50, _P99, _P999, *_BUSY),
        scale=_PAIRS,
    ),
    Workload(
        "setup",
        "pairs opened and closed",
        exchanges.set_up,
        (32,),
        (Metric("rate", "pairs/s", "more"), Metric("CPU/pair", "µs"), *_BUSY),
        _HANDSHAKES,
        scale=_PAIRS,
    ),
    Workload(
        "idle2000", "2,000 idle pairs", memory.idle, (2000,), (_PER_PAIR,), _HANDSHAKES, _PAIRS
    ),
    Workload(
        "idle8000",
        "8,000 idle pairs",
        memory.idle,
        (8000,),
        (_PER_PAIR,),
        _HANDSHAKES,
        _PAIRS,
        slow=True,
    ),
    Workload(
        "stalled",
        "growth with 50 stalled readers",
        memory.stalled,
        (50,),
        (Metric("memory", "KiB/reader"),),
        _HANDSHAKES,
        _PAIRS,
    ),
    Workload(
        "fairness",
        "what bulk adds to another pair's round trip",
        under_load.fairness,
        (65536,),
        (
            Metric("added p50", "µs"),
            Metric("added p99", "µs"),
            Metric("bulk", "MB/s", "more"),
            *_BUSY,
        ),
    ),
    Workload(
        "health-bulk",
        "GET /health, a new connection, beside bulk",
        under_load.health_beside_bulk,
        (65536,),
        (_P50, _P99, *_BUSY),
        _WEBSOCKETS,
    ),
    Workload(
        "health-pingpong",
        "GET /health, a new connection, beside a ping-pong",
        under_load.health_beside_pingpong,
        (1,),
        (_P50, _P99, *_BUSY),
        _WEBSOCKETS,
        _PAIRS,
    ),
    Workload(
        "held",
        "side B's connect to the first held byte",
        exchanges.held,
        (exchanges.HELD_BYTES,),
        (_P50, _P99),
        _WEBSOCKETS,
    ),
    Workload(
        "by-size",
        "cost by message size",
        streams.stream,
        (1, 16, 256, 4096, 65536, _MIB, 16 * _MIB, 64 * _MIB),
        (_CPU_MESSAGE, _CPU_BYTE, _MB, *_BUSY),
        slow=True,
    ),
    Workload(
        "by-pairs",
        "cost by number of pairs in ping-pong",
        exchanges.pingpong,
        (1, 10, 100, 1000, 8000),
        (_CPU_MESSAGE, _MESSAGE_RATE, _P50, *_BUSY),
        _HANDSHAKES,
        _PAIRS,
        slow=True,
    ),
)
